from xml.etree import ElementTree

from runtime.whiskers import Row, whiskers

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*rows, title="a title"):
    root = ElementTree.fromstring(whiskers(rows, x="strength", title=title))
    return root, root.findall(f"{SVG}g")


def circle(group):
    return float(group.find(f"{SVG}circle").get("cx"))


def test_rows_stand_in_order_and_values_from_left_to_right():
    _, groups = drawn(Row("a", 1.0, 0.5, 2.0), Row("b", -1.0, -1.5, 0.0))
    assert len(groups) == 2
    assert circle(groups[0]) > circle(groups[1])
    heights = [float(group.find(f"{SVG}circle").get("cy")) for group in groups]
    assert heights[0] < heights[1]
    line = groups[0].find(f"{SVG}line")
    assert float(line.get("x1")) < circle(groups[0]) < float(line.get("x2"))


def test_an_end_without_bound_is_an_arrow():
    _, groups = drawn(Row("a", 1.0, 0.5, None), Row("b", -1.0, None, None), Row("c", 0.0, -1.0, 1.0))
    assert [len(group.findall(f"{SVG}path")) for group in groups] == [1, 2, 0]
    assert "no bound" in groups[0].find(f"{SVG}title").text


def test_groups_differ_in_colour_and_names_cannot_write_into_the_picture():
    root, groups = drawn(Row("<b>&\x07", 0.0, -1.0, 1.0), Row("b", 0.0, -1.0, 1.0, group=2), title="<script>")
    assert groups[0].get("class") != groups[1].get("class")
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "<b>& " in texts
    assert "<script>" in texts


def test_nothing_to_show_is_a_picture_too():
    assert drawn()[1] == []
