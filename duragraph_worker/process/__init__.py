"""The worker process: polls, attempts, reports, leases. The only part that knows the plane."""
