from reported import bench, cells, evaluation, judged, lines_of, row, written


def column(text, name, head):
    heads, *rows = cells(text, name)
    return [one[heads.index(head)] for one in rows]


def test_seconds_are_of_the_network_and_not_of_judging(tmp_path):
    text = written([evaluation(tmp_path / "a.jsonl", models=("fast",), frames=1)], tmp_path)
    assert column(text, "images", "s, pack and infer") == ["0.22"]
    assert cells(text, "stages") == [["model", "pack", "infer"], ["fast", "20", "200"]]


def test_light_is_named_and_two_kinds_have_a_column_and_a_table_each(tmp_path):
    lines = [judged("fast", "a", 100, 30.0), judged("fast", "b", 100, 20.0, light="srgb")]
    text = written([lines_of(tmp_path / "a.jsonl", *lines, judged("plain", "a", 100, 25.0))], tmp_path)
    assert column(text, "means", "developed, dB")[1] == "25.00, one frame"
    assert column(text, "means", "linear, camera's, dB") == ["36.00, one frame", "31.00, one frame"]
    assert column(text, "means", "linear, sRGB's, dB") == ["26.00, one frame", "not judged"]
    assert column(text, "ratios-srgb", "x100") == ["26.00, one frame", "not judged"]
    assert column(text, "images", "light") == ["camera's", "sRGB's", "camera's"]
    text = written([lines_of(tmp_path / "a.jsonl", judged("fast", "a", 100, 30.0, light=None))], tmp_path)
    assert column(text, "means", "linear, dB") == ["36.00, one frame"]
    assert column(text, "images", "light") == ["not told"]


def test_frames_of_one_scene_are_called_so_where_they_are_all(tmp_path):
    lines = [judged("fast", f"a_x{ratio}", ratio, 30.0 + ratio, clean="a.tif") for ratio in (1, 2)]
    text = written([lines_of(tmp_path / "a.jsonl", *lines)], tmp_path)
    assert column(text, "means", "developed, dB") == ["31.50, one scene"]
    assert column(text, "ratios-developed", "x1") == ["31.00, one frame"]


def test_of_few_rounds_the_slowest_twentieth_is_not_told(tmp_path):
    for rounds, told in ((5, "too few rounds"), (19, "too few rounds"), (20, "12"), (None, "12")):
        given = bench(tmp_path / "b.json", rows=[row("fast", 10.0, 10)], rounds=rounds)
        assert column(written([], tmp_path, benches=[given]), "bench", "95 %, ms") == [told]


def test_a_head_that_may_be_cut_has_all_of_its_name_as_its_title(tmp_path):
    name = "m" * 150
    text = written([lines_of(tmp_path / "a.jsonl", judged(name, "a", 100, 30.0))], tmp_path)
    assert f'<th scope="row" title="{name}">' in text
