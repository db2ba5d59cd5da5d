"""The catalogue is whole: what its metrics say of each other holds."""

from schemas.catalogue import catalogue, datasets, metrics_of, sent_in


def test_a_derived_metric_has_the_windows_of_the_one_that_it_comes_from() -> None:
    derived = [metric for metric in catalogue().values() if metric.derived_from]
    assert derived
    for metric in derived:
        origin = catalogue()[metric.registered_as]
        assert origin.derived_from is None
        assert (metric.dataset, metric.window, metric.lateness_ms) == (
            origin.dataset,
            origin.window,
            origin.lateness_ms,
        )
        assert metric.contributor == origin.contributor


def test_every_dataset_has_a_metric_that_is_sent_in_it() -> None:
    for dataset in datasets():
        assert sent_in(dataset)
        assert set(sent_in(dataset)) <= set(metrics_of(dataset))
