"""docs/vectors holds what its generator makes."""

from tests.vectors.making import FOLDER, files, vectors


def test_the_vectors_are_those_that_their_generator_makes():
    found = {path.name: path.read_text(encoding="ascii") for path in FOLDER.glob("*.json")}
    assert found.keys() == files().keys()
    assert [name for name, text in files().items() if found[name] != text] == [], "python -m tests.vectors.making"


def test_every_object_has_good_and_bad_examples_and_every_word_is_explained():
    explained = (FOLDER / "README.md").read_text()
    for name, of_object in vectors().items():
        assert {vector.why is None for vector in of_object} == {True, False}, name
        assert [vector.why for vector in of_object if vector.why and f"`{vector.why}`" not in explained] == []
