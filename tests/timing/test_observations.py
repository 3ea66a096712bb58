"""Tables of published throughput: what is in them, and what is wrong with them."""

from pathlib import Path

import pytest

from bamctl.errors import InputError
from bamctl.timing._observations import read

HEADER = "device,model,input_size,batch_size,images_per_second,memory_format,precision"
ROW = "gpu,resnet18,224,1024,2048.0,channels_last,amp_fp16"


def table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "times.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_rows_of_a_device(tmp_path: Path) -> None:
    other = ROW.replace("gpu", "other")
    (row,) = read(table(tmp_path, other, ROW), "gpu")
    assert (row.model, row.input_size, row.batch_size) == ("resnet18", 224, 1024)
    assert row.batch_seconds == 0.5


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["gpu,resnet18,224,1024,fast,channels_last,amp_fp16"], "times.csv:2: .*images_per_second"),
        ([ROW, ROW.replace("2048.0", "-1")], "times.csv:3: .*greater than 0"),
        ([ROW.replace("2048.0", "inf")], "times.csv:2: .*images_per_second"),
        ([ROW.replace("amp_fp16", "int4")], "times.csv:2: .*precision"),
        ([ROW + ",more"], "times.csv:2: more cells than there are columns"),
        (["gpu,resnet18,224"], "times.csv:2: batch_size is missing"),
        ([ROW, ROW.replace("gpu", "g" * 200_000)], "times.csv:3: field larger than"),
        ([ROW.replace("gpu", "gpa")], "no times of 'gpu' .did you mean 'gpa'"),
        ([ROW.replace("gpu", "abacus")], "no times of 'gpu'; it has abacus"),
        ([], "no times of 'gpu'; it has no rows"),
        ([ROW, ROW.replace("amp_fp16", "fp32")], "precision is amp_fp16 and fp32"),
        ([ROW, ROW.replace("channels_last", "contiguous")], "memory_format is channels_last and"),
    ],
)
def test_a_wrong_table(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(table(tmp_path, *rows), "gpu")


def test_other_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown key 'speed'"):
        read(table(tmp_path, ROW, header=HEADER.replace("images_per_second", "speed")), "gpu")


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "none.csv", "gpu")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.csv"):
        read(tmp_path / "bytes.csv", "gpu")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, "gpu")
