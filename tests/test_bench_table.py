"""Tables of made-up figures."""

from runtime.bench_table import lines, table

ROW = {
    "model": "fast", "file": "fast.onnx", "digest": "", "network": "unet", "bits": "w8a8", "engine": "Engine 1",
    "provider": "cpu", "size_bytes": 3 << 20, "load_ms": 12.4, "median_ms": 4.0, "p95_ms": 5.0, "per_second": 250.0,
    "times_first": 1.0, "peak_bytes": 5 << 20, "int8_share": 0.985, "provider_share": 1.0, "energy_mj": None,
    "energy_why": "not measurable here: no sensor", "max_error": None, "mean_error": None, "error_against": None,
}  # fmt: skip
FRAME = {
    "model": "fast", "engine": "Engine 1", "provider": "cpu", "path": "/a/night.ARW", "height": 20, "width": 30,
    "format": "tiff", "seconds": dict.fromkeys(("decode", "pack", "infer", "develop", "encode"), 0.25),
    "total_s": 1.25, "overlapped_s": None, "peak_bytes": None, "energy_mj": 1234.0,
}  # fmt: skip


def report(*, rows=(ROW,), frames=(), **changes):
    machine = {"processor": "Processor", "cores": 2}
    common = {"machine": machine, "date": "2026-01-02 03:04", "threads": None, "side": 512, "rounds": 50}
    return {**common, "load_average": 0.1, "rows": list(rows), "frames": list(frames), "problems": [], **changes}


def test_cells_stand_under_each_other_words_left_and_numbers_right():
    rows = [{"model": "a", "n": "1"}, {"model": "longer", "n": "100"}]
    made = table({"model": lambda row: row["model"], "n": lambda row: row["n"]}, rows)
    assert made == ["| model  |   n |", "| ------ | --: |", "| a      |   1 |", "| longer | 100 |"]


def test_what_is_not_known_is_a_dash_and_says_why():
    said = lines(report())
    assert "energy on cpu: not measurable here: no sensor" in said
    precision = next(line for line in said if "98.5 %" in line)
    cells = [cell.strip() for cell in precision.strip("|").split("|")]
    assert cells == ["fast", "Engine 1, cpu", "w8a8", "98.5 %", "100.0 %", "-", "-", "250.0", "4.00", "-"]


def test_of_few_rounds_there_is_no_slowest_twentieth():
    for rounds, told in ((19, "-"), (20, "5.00")):
        speed = next(line for line in lines(report(rounds=rounds)) if "12" in line and "fast" in line)
        assert [cell.strip() for cell in speed.strip("|").split("|")][2:4] == ["4.00", told]


def test_a_reason_that_several_share_is_said_once_with_all_their_providers():
    said = lines(report(rows=[ROW, {**ROW, "provider": "xnnpack", "error_against": "float"}]))
    assert [line for line in said if line.startswith("energy")] == [
        "energy on cpu, xnnpack: not measurable here: no sensor"
    ]
    assert sum("errors against float" in line for line in said) == 1


def test_frames_have_a_table_of_their_own():
    said = lines(report(rows=[], frames=[FRAME]))
    row = next(line for line in said if "night.ARW" in line)
    assert "night.ARW, 30 x 20, tiff" in row
    assert [cell.strip() for cell in row.strip("|").split("|")][3:] == [*["250"] * 5, "1.25", "-", "-", "1234"]
    assert not any("median ms" in line for line in said)


def test_a_busy_machine_and_problems_are_said():
    problem = {"model": "b", "problem": "it is torn: fetch it again"}
    said = lines(report(load_average=7.2, problems=[problem]))
    assert any("load average 7.2" in line for line in said)
    assert said[-1] == "problem: b: it is torn: fetch it again"
    assert not any("load average" in line for line in lines(report()))
