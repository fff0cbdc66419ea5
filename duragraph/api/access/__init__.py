"""What auth handlers are asked before a user is served: the guards of the route table.

A guard asks, changes the endpoint's arguments as the handlers did, and sets the limits within
which the call sees rows at all. Contract: which handler is asked for which endpoint, with which
values, as on the LangGraph server. Without a user none is called.
"""
