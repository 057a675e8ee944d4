"""The metrics of several workers in one text."""

from prometheus_client.parser import text_string_to_metric_families

from talksy.metrics import Metrics, joined


def counted(*routes: str) -> bytes:
    metrics = Metrics()
    for route in routes:
        metrics.request(route, "GET", 200, 0.01)
    text, _ = metrics.render()
    return text


def test_each_series_is_there_once_under_its_worker() -> None:
    text = joined("worker", {1: counted("/a", "/b"), 2: counted("/a", "/a")}).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    requests = {
        (sample.labels["worker"], sample.labels["route"]): sample.value
        for sample in families["talksy_http_requests"].samples
    }
    assert requests == {("1", "/a"): 1, ("1", "/b"): 1, ("2", "/a"): 2}


def test_nothing_else_is_changed() -> None:
    alone = counted('/with "quotes" and } {braces')
    text = joined("worker", {7: alone}).decode()
    told = list(text_string_to_metric_families(text))
    meant = list(text_string_to_metric_families(alone.decode()))
    assert [family.documentation for family in told] == [one.documentation for one in meant]
    for family, one in zip(told, meant, strict=True):
        for sample in family.samples:
            assert sample.labels.pop("worker") == "7"
        assert [(s.name, s.labels) for s in family.samples] == [
            (s.name, s.labels) for s in one.samples
        ]


def test_a_family_stands_together() -> None:
    text = joined("worker", {1: counted("/a"), 2: counted("/a")}).decode()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
