"""The catalogue is whole: what its metrics say of each other holds."""

from schemas.catalogue import catalogue, current_name, datasets, leaving, metrics_of, published, sent_in


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


def test_one_of_two_metrics_of_a_flow_leaves_a_city() -> None:
    of_waste = metrics_of("waste.collections")
    assert [metric.name for metric in leaving(of_waste, ["waste.collected"])] == ["waste.collected"]
    assert [metric.name for metric in leaving(of_waste, ["waste.collected", "waste.tonnage"])] == ["waste.collected"]
    assert "waste.tonnage" in [metric.name for metric in leaving(of_waste, ["waste.tonnage"])]
    for metric in catalogue().values():
        assert metric.same_flow_as is None or catalogue()[metric.same_flow_as].same_flow_as is None


def test_sightings_of_plates_never_leave() -> None:
    assert "traffic.regions" not in published()
    assert leaving([catalogue()["traffic.regions"]], ["traffic.regions"]) == ()


def test_a_metric_is_found_under_the_name_that_it_had_before() -> None:
    assert current_name("traffic.density") == current_name("traffic.occupancy") == "traffic.occupancy"
    assert current_name("energy.import") == "energy.import"
    assert current_name("energy.exprot") == "energy.exprot"
    former = [metric.formerly for metric in catalogue().values() if metric.formerly]
    assert not set(former) & set(catalogue())


def test_a_figure_outside_is_a_multiple_of_at_least_a_hundredth_of_a_unit() -> None:
    for metric in catalogue().values():
        assert metric.base > 1
        assert metric.base * 100 >= metric.smallest_per_unit
