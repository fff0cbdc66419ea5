"""What calls of models took: how it is priced, summed and shown."""

import asyncio
from datetime import date
from decimal import Decimal

import pytest

from duragraph.protocol import Effect
from duragraph.usage import Usage, dumps, totals
from duragraph_worker import AIMessage, Graph, Retry, llm_node, node
from duragraph_worker.llm import prices
from duragraph_worker.llm.providers import replaced
from duragraph_worker.llm.usage import spent
from duragraph_worker.messages import AIMessageChunk
from duragraph_worker.testing import ScriptedLLM, scripted
from tests.unit.plans import Bench

HI = {"messages": [{"role": "user", "content": "hi"}]}
DAY = date(2026, 12, 1)
RUN = "00000000-0000-7000-8000-000000000001"
COLUMNS = "model,input,cached_input,cache_write,output,over,valid_from"


def tokens(read=0, written=0, given=1_000_000, said=1_000_000):
    details = {"cache_read": read, "cache_creation": written}
    counted = {"input_tokens": given, "output_tokens": said, "total_tokens": given + said}
    return counted | {"input_token_details": {k: n for k, n in details.items() if n}}


def reply(text, given=10, said=5):
    counted = {"input_tokens": given, "output_tokens": said, "total_tokens": given + said}
    return AIMessage(text, usage_metadata=counted)


@pytest.fixture
def listed(tmp_path):
    """Add rows to the table for a test."""
    before = dict(prices._table())

    def listed(*rows):
        path = tmp_path / "prices.csv"
        path.write_text("\n".join([COLUMNS, *rows]))
        prices.load(path)

    yield listed
    prices._table().clear()
    prices._table().update(before)


@pytest.mark.parametrize(
    ("counted", "dollars"),
    [
        (tokens(), "6"),
        (tokens(read=1_000_000), "4.5"),
        (tokens(read=500_000, written=500_000), "5.5"),
        (tokens(given=0, said=1), "0.000004"),
    ],
)
def test_each_kind_of_token_has_its_price(listed, counted, dollars):
    listed("p/m,2,0.5,2.5,4,,2026-01-01")
    assert prices.cost("p/m", counted, day=DAY) == Decimal(dollars)


def test_input_without_a_price_of_its_own_costs_as_all_input(listed):
    listed("p/m,2,,,4,,2026-01-01")
    assert prices.cost("p/m", tokens(read=300_000, written=300_000), day=DAY) == 6


def test_a_cache_beside_the_input_makes_no_cost_less_than_its_own(listed):
    listed("p/m,10,1,,4,,2026-01-01")
    assert prices.cost("p/m", tokens(given=10, said=0, read=1_000_000), day=DAY) == 1


def test_a_price_holds_from_its_day_on(listed):
    listed("p/m,2,,,4,,2026-11-01", "p/m,1,,,2,,2026-12-01", "p/m,0,,,0,,2027-01-01")
    costs = [prices.cost("p/m", tokens(), day=date(2026, m, 30)) for m in (6, 11, 12)]
    assert costs == [6, 6, 3]


def test_long_prompts_may_cost_more(listed):
    listed("p/m,2,,,4,,2026-01-01", "p/m,4,,,8,1000,2026-01-01")
    at = [prices.cost("p/m", tokens(given=n, said=0), day=DAY) for n in (1000, 1001)]
    assert at == [Decimal("0.002"), Decimal("0.004004")]


def test_versions_of_a_model_cost_the_same_unless_listed(listed):
    listed("p/m,2,,,4,,2026-01-01", "p/m-20250101,1,,,1,,2026-01-01")
    names = ("p/m-latest", "p/m-2026-07-18", "p/m-20260514", "p/m-08-2026", "p/m-20250101")
    assert [prices.cost(n, tokens(), day=DAY) for n in names] == [6, 6, 6, 6, 2]
    for other in ("p/m-mini", "p/mm", "q/m", "p/m-2"):
        assert prices.cost(other, tokens(), day=DAY) is None


def test_a_table_of_one_s_own_goes_before_ours(listed):
    listed("openai/gpt-4o-mini,1,,,1,,2026-01-01")
    assert prices.cost("openai/gpt-4o-mini", tokens(), day=DAY) == 2
    with pytest.raises(ValueError, match="line 3 is no price of a model"):
        listed("p/m,1,,,1,,2026-01-01", "p/n,cheap,,,1,,2026-01-01")


def test_our_table_is_whole():
    table = prices._table()
    assert len(table) > 50
    assert {name.partition("/")[0] for name in table} == {"openai", "anthropic", "cohere"}
    for name, rows in table.items():
        assert any(row.over == 0 for row in rows), name
        assert len({(row.over, row.valid_from) for row in rows}) == len(rows), name
        for row in rows:
            assert (row.cached_input or 0) <= row.input <= row.output, name


@pytest.mark.parametrize(
    "counted",
    [
        {"input_tokens": None, "output_tokens": 1},
        {"input_tokens": -1},
        {"input_tokens": 1.5},
        {"input_tokens": "many"},
        {"total_tokens": 1 << 64},
        {"input_token_details": {"cache_read": None}},
        {"input_token_details": 3},
    ],
)
def test_tokens_that_are_no_counts_are_left_out(listed, counted, caplog):
    listed("p/m,2,,,4,,2026-01-01")
    assert spent("p/m", counted, key="k") == Usage(provider="p", model="m", key="k")
    assert "tokens can't be read" in caplog.text


def test_what_else_a_provider_counts_is_no_matter(listed):
    listed("p/m,2,,,4,,2026-01-01")
    assert spent("p/m", tokens() | {"carbon": 3}).cost_usd == 6


class Endless(ScriptedLLM):
    async def stream(self, request):
        yield AIMessageChunk("Once", usage_metadata=tokens(given=3, said=1))
        await asyncio.Event().wait()


def test_a_stream_that_a_body_leaves_is_counted():
    @Graph(id="g")
    class G:
        @llm_node(model="endless/x")
        async def tell(self, state, llm):
            async for token in llm.stream("Tell me a story."):
                began = token
                break
            return {"began": began}

    with replaced(["endless"], Endless()):
        result = G().run({})
    assert result.output["began"] == "Once"
    assert (result.usage["failed_calls"], result.usage["total_tokens"]) == (1, 4)


def test_calls_add_up_by_model_and_altogether():
    one = Usage(model="m", provider="p", total_tokens=3, cost_usd=Decimal("0.1"))
    two = Usage(model="n", provider="p", total_tokens=4, output_token_details={"reasoning": 2})
    whole = totals([one, two, one])
    assert whole["total_tokens"] == 10
    assert whole["cost_usd"] == Decimal("0.2")
    assert (whole["calls"], whole["unpriced_calls"]) == (3, 1)
    assert whole["models"]["p/n"]["output_token_details"] == {"reasoning": 2}
    assert b'"cost_usd":0.2' in dumps(whole)


def test_a_run_tells_tokens_and_cost():
    @Graph(id="g")
    class G:
        @llm_node(model="gpt-4o-mini")
        def known(self, state): ...

        @llm_node(model="openai/of-our-own")
        def unknown(self, state): ...

        known >> unknown

    with scripted("openai", [reply("x", 1000, 100), reply("y")]):
        usage = G().run(HI).usage
    assert usage["total_tokens"] == 1115
    assert usage["cost_usd"] == pytest.approx(0.00015 + 0.00006)
    assert usage["unpriced_calls"] == 1
    assert "cost_usd" not in usage["models"]["openai/of-our-own"]


def test_a_run_without_models_has_none():
    @Graph(id="g")
    class G:
        @node
        def n(self, state): ...

    assert G().run({}).usage == {}


def test_what_a_retry_pays_counts_and_what_it_recalls_does_not():
    tried = []

    class G:
        @llm_node(retry=Retry(times=1, first=0))
        async def process(self, state, llm):
            await llm("one")
            tried.append(1)
            await llm("two" if len(tried) > 1 else "two, in vain")

    with scripted("openai", [reply("1"), ConnectionError(), reply("2")]):
        usage = Graph(id="g")(G)().run(HI, raise_error=True).usage
    assert (usage["calls"], usage["failed_calls"], usage["total_tokens"]) == (3, 1, 30)


def test_bodies_account_for_calls_of_their_own_once_for_each_effect():
    counted = {"input_tokens": 1000, "output_tokens": 0, "total_tokens": 1000}

    class G:
        @node
        def plain(self, state, ctx):
            ctx.usage(spent("openai:gpt-4o-mini", counted))

        @node(retry=Retry(times=1, first=0))
        async def retried(self, state, ctx):
            await ctx.effect("ask", lambda: ctx.usage(spent("gpt-4o-mini", counted)))
            if ctx.attempt == 1:
                raise OSError

        plain >> retried

    usage = Graph(id="g")(G)().run({}, raise_error=True).usage
    assert usage["models"]["openai/gpt-4o-mini"]["cost_usd"] == 0.0003


async def test_the_account_of_a_call_goes_before_the_effect_that_it_paid_for():
    class G:
        @llm_node(memo=True)
        def process(self, state): ...

    bench = Bench(Graph(id="g")(G).plan)
    with scripted("openai", [reply("paid once")]):
        await bench.run(HI, run_id=RUN)
    paid = [item for item in bench.items if isinstance(item, Usage | Effect)]
    recalled, usage, answer, memo = paid
    assert (recalled.result, answer.key) == (b"null", usage.key)
    assert memo.checkpoint_id == RUN


async def test_who_streams_usage_sees_each_call_and_others_none():
    class Inner:
        @llm_node(model="gpt-4o-mini", into="x")
        def ask(self, state):
            return "q"

    class Outer:
        inner = Graph(id="inner")(Inner).as_subgraph()

        @llm_node(model="gpt-4o-mini", into="y")
        def ask(self, state):
            return "q"

        inner >> ask

    app = Graph(id="g")(Outer)()
    with scripted("openai", [reply("1"), reply("2")] * 2):
        parts = [part async for part in app.stream({}, stream_mode=["updates", "usage"])]
        others = [part.event async for part in app.stream({}, stream_mode=["updates", "custom"])]
    first, second = [part.data for part in parts if part.event == "usage"]
    assert first["key"] != second["key"]
    assert first | {"key": ""} == {
        "node": "ask",
        "model": "gpt-4o-mini",
        "provider": "openai",
        "key": "",
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "input_token_details": {},
        "output_token_details": {},
        "cost_usd": 0.0000045,
        "cached": False,
        "failed": False,
    }
    assert "usage" not in others
