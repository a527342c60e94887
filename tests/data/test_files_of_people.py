"""Hidden files, links, permissions, suffixes and names: what people's folders and archives hold besides images."""

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from malformed_archives import archive, picture
from PIL import Image

from ganlab.data import image_folder, image_zip
from ganlab.data.image_folder import ImageFolder, open_folder
from ganlab.data.image_zip import ImageZip, open_zip
from ganlab.data.inspection import ClassFacts, inspect
from ganlab.data.listing import SUFFIXES, SUFFIXES_OF_FORMATS, UNREAD_SUFFIXES
from ganlab.data.pixels import MAX_FILE_BYTES
from ganlab.data.preparation import prepare
from ganlab.errors import DataError


def write(folder: Path, *names: str) -> Path:
    """Writes pictures, each another, and the folders that they need."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture("png", number))
    return folder


def images_of(path: Path) -> list[str]:
    with open_folder(path) if path.is_dir() else open_zip(path) as collection:
        return collection.listing.images


def zipped(path: Path, *names: str) -> Path:
    path.write_bytes(archive([(name, picture("png", number)) for number, name in enumerate(names)], None))
    return path


SERVICE = (
    *(
        ".ipynb_checkpoints/a.png",
        "cat/.ipynb_checkpoints/a.png",
        "__MACOSX/cat/._a.png",
        "@eaDir/a.png",
        ".git/a.png",
    ),
    *(
        "cat/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
        "$RECYCLE.BIN/a.png",
        "cat/._a.png",
        ".DS_Store",
        "cat/Thumbs.db",
    ),
)


def test_files_of_the_system_are_no_images_and_no_classes(tmp_path: Path) -> None:
    """Catches: .ipynb_checkpoints as class 0, thumbnails of a network drive trained on."""
    folder = write(tmp_path / "it", "cat/a.png", "dog/a.png", *SERVICE)
    assert images_of(folder) == ["cat/a.png", "dog/a.png"]
    inspection = inspect(folder)
    assert inspection.classes == [ClassFacts(0, "cat", 1), ClassFacts(1, "dog", 1)]
    assert ".ipynb_checkpoints/" in inspection.hidden
    assert (len(inspection.hidden), inspection.ignored) == (10, [])
    assert images_of(zipped(tmp_path / "it.zip", "cat/a.png", "dog/a.png", *SERVICE)) == [
        "cat/a.png",
        "dog/a.png",
    ]


def test_a_folder_may_lie_below_a_hidden_one(tmp_path: Path) -> None:
    """Catches: looking for dots in the whole path."""
    assert images_of(write(tmp_path / ".cache" / "it", "a.png")) == ["a.png"]


def test_linked_folders_are_read(tmp_path: Path) -> None:
    """Catches: links not followed: a data set put together of links loses classes without a word."""
    write(tmp_path / "all", "a/0.png", "b/0.png", "c/deep/0.png")
    (tmp_path / "it").mkdir()
    for name in "ac":
        (tmp_path / "it" / name).symlink_to(tmp_path / "all" / name)
    (tmp_path / "it" / "b").mkdir()
    (tmp_path / "it" / "b" / "1.png").symlink_to("../../all/b/0.png")
    assert images_of(tmp_path / "it") == ["a/0.png", "b/1.png", "c/deep/0.png"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """Catches: following a link to where one is, for ever; leaving out what is linked beside it."""
    folder = write(tmp_path / "it", "a/0.png", "b/0.png")
    (folder / "a" / "up").symlink_to("..")
    (folder / "a" / "itself").symlink_to("itself")
    (folder / "b" / "a").symlink_to("../a")
    with pytest.raises(DataError, match=r"a/itself is a link to what is not there"):
        images_of(folder)
    (folder / "a" / "itself").unlink()
    assert images_of(folder) == ["a/0.png", "b/0.png", "b/a/0.png"]


def test_links_of_all_to_all_are_refused(tmp_path: Path) -> None:
    """Catches: as many paths as there are orders of the folders (12! of them here)."""
    folder = write(tmp_path / "it", *(f"{name}/0.png" for name in "abcdefghijkl"))
    for one in "abcdefghijkl":
        for other in "abcdefghijkl":
            (folder / one / f"to-{other}").symlink_to(f"../{other}")
    with pytest.raises(DataError, match="lead into one another"):
        images_of(folder)


def test_a_class_that_is_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    """Catches: a class on a disk that is not mounted, left out without a word."""
    folder = write(tmp_path / "it", "a/0.png")
    (folder / "b").symlink_to("/nowhere/b")
    with pytest.raises(DataError, match=r"it/b is a link to what is not there"):
        images_of(folder)


def test_an_image_that_is_a_link_to_nothing_is_a_broken_image(tmp_path: Path) -> None:
    """Catches: a check that ends at the first of them; a traceback; an image left out unasked."""
    folder = write(tmp_path / "it", "a.png", "b.png")
    (folder / "c.png").symlink_to("nowhere.png")
    (folder / "d.png").symlink_to("d.png")
    (folder / "e.png").symlink_to("/dev/zero")
    broken = {image.name: image.fault for image in inspect(folder).broken}
    assert broken == {
        "c.png": "a link to what is not there",
        "d.png": "a link to what is not there",
        "e.png": "not a regular file",
    }
    with pytest.raises(DataError, match=r"3 of 5 images .*c\.png \(a link"):
        ImageFolder(str(folder)).load("train", (8, 8), 3, tmp_path / "cache")
    assert prepare(folder, tmp_path / "out.zip", (8, 8), skip_broken=True).num_images == 2


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: os.walk's silence: a class lost."""
    folder = write(tmp_path / "it", "a/0.png", "b/0.png")
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(image_folder.os, "scandir", refuse)
    with pytest.raises(DataError, match=r"it/b cannot be read \(Permission denied\)"):
        images_of(folder)


def test_files_that_may_not_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a traceback where one file, or an archive, is not permitted."""

    def refuse(path: Any, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    folder, path = write(tmp_path / "it", "a.png"), zipped(tmp_path / "it.zip", "a.png")
    monkeypatch.setattr(Image, "open", refuse)
    assert "Permission denied" in str(inspect(folder).broken[0].fault)
    monkeypatch.setattr(image_zip.io, "FileIO", refuse)
    with pytest.raises(DataError, match=r"it\.zip cannot be read \(Permission denied\)"):
        inspect(path)


def test_a_pipe_for_a_label_file_is_not_waited_for(tmp_path: Path) -> None:
    """Catches: opening it, which waits for a writer for ever."""
    folder = write(tmp_path / "it", "a.png")
    os.mkfifo(folder / "dataset.json")
    with pytest.raises(DataError, match=r"dataset\.json .*not a regular file"):
        ImageFolder(str(folder)).load("train", (8, 8), 3, tmp_path / "cache")


def test_a_file_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    """Catches: decoders that read a whole file into the memory, here of zeros without end."""
    folder = write(tmp_path / "it", "a.png")
    os.truncate(folder / "a.png", MAX_FILE_BYTES + 1)
    assert inspect(folder).broken[0].fault == "268,435,457 bytes; at most 268,435,456 are read"


def test_every_suffix_that_pillow_opens_is_read_or_known_not_to_be() -> None:
    """Catches: a kind of picture left out without a word, among them those of a later Pillow."""
    Image.init()
    opened = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    assert opened <= {*SUFFIXES, *UNREAD_SUFFIXES}
    assert not {*SUFFIXES} & {*UNREAD_SUFFIXES}


@pytest.mark.parametrize(
    "kind", ["GIF", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "ICO", "SGI", "AVIF", "PCX"]
)
def test_other_kinds_of_pictures_are_read(tmp_path: Path, kind: str) -> None:
    """Catches: a suffix without its format, or the reverse; capital letters."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 200, 200)).save(file, kind)
    for number, suffix in enumerate(SUFFIXES_OF_FORMATS[kind]):
        (tmp_path / f"it{number}").mkdir()
        (tmp_path / f"it{number}" / f"x{suffix.upper()}").write_bytes(file.getvalue())
        loaded = ImageFolder(str(tmp_path / f"it{number}")).load("train", (16, 16), 1, tmp_path / "cache")
        assert abs(int(loaded.images.float().mean()) - 200) <= 3


def test_pictures_that_are_not_read_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: a folder of a telephone that trains on its few JPEGs without a word; a word about every text file."""
    folder = write(tmp_path / "it", "a.png", "b.HEIC", "c.heic", "notes.txt")
    ImageFolder(str(folder)).load("train", (8, 8), 3, tmp_path / "cache")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "2 pictures of kinds that are not read are left out, such as b.HEIC" in said
    assert inspect(folder).ignored == ["b.HEIC", "c.heic", "notes.txt"]
    assert "3 other files, such as b.HEIC" in "\n".join(inspect(folder).report())


def test_a_program_is_not_started_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: Pillow's list of formats, of which PostScript runs Ghostscript on whatever a file holds."""
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    assert inspect(tmp_path).broken[0].fault == "no image, or a damaged one"


def test_names_that_are_no_text_are_shown(tmp_path: Path) -> None:
    """Catches: UnicodeEncodeError, two lines for one fault, control sequences in a terminal."""
    for name in (b"\xfc.png", b"a\nb\x1b[2J.png"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb"):
            pass
    report = list(inspect(tmp_path).report())
    assert all(line.isprintable() for line in report)
    assert any(r"a\nb\x1b[2J.png" in line for line in report)
    assert any(r"\udcfc.png" in line for line in report)
    with pytest.raises(DataError) as fault:
        ImageFolder(str(tmp_path)).load("train", (8, 8), 3, tmp_path / "cache")
    assert str(fault.value).isprintable()


def test_windows_writes_paths_with_backslashes(tmp_path: Path) -> None:
    """Catches: hidden folders, label files and classes that are not seen behind a backslash."""
    path = zipped(tmp_path / "it.zip", "my\\cat\\a.png", "my\\dog\\b.png", "my\\.git\\c.png")
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("my\\dataset.json", '{"labels": [["cat/a.png", 1], ["dog\\\\b.png", 0]]}')
    loaded = ImageZip(str(path)).load("train", (8, 8), 3, tmp_path)
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [1, 0]
    assert loaded.class_names == ("dog", "cat")


def test_utf8_names_without_their_flag_are_read(tmp_path: Path) -> None:
    """Catches: "mu╠êll" for a class named on a Mac; names in the old code page made unreadable."""
    path = tmp_path / "it.zip"
    content = archive([("m\u00fcll/a.png", picture("png", 0)), ("b.png", picture("png", 1))], None)
    path.write_bytes(content)
    assert images_of(path) == ["b.png", "m\u00fcll/a.png"]
    without_flag = bytearray(content)
    for signature, flags in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        without_flag[without_flag.index(signature) + flags] &= ~8
    path.write_bytes(without_flag)
    assert images_of(path) == ["b.png", "m\u00fcll/a.png"]
    path.write_bytes(without_flag.replace("m\u00fcll".encode(), b"m\x81lls"))  # code page 437
    assert images_of(path) == ["b.png", "m\u00fclls/a.png"]


@pytest.mark.parametrize("name", ["/etc/a.png", "../../a.png", "C:/a.png", "a b\u00a0#[=$'.png"])
def test_names_of_an_archive_are_no_places(tmp_path: Path, name: str) -> None:
    """Catches: refusing, or following, a path that is never unpacked."""
    loaded = ImageZip(str(zipped(tmp_path / "it.zip", name))).load("train", (8, 8), 3, tmp_path)
    assert len(loaded.images) == 1


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    """Catches: the last of them read twice."""
    with pytest.raises(DataError, match=r"holds a\.png twice"):
        images_of(zipped(tmp_path / "it.zip", "a.png", "a.png"))


def patched(content: bytes, **changes: int) -> bytes:
    """Writes a two-byte number into every local header and entry of the directory."""
    made = bytearray(content)
    places = {"flags": (6, 8), "method": (8, 10)}
    for what, value in changes.items():
        for signature, offset in zip((b"PK\3\4", b"PK\1\2"), places[what], strict=True):
            place = made.find(signature)
            while place >= 0:
                made[place + offset : place + offset + 2] = struct.pack("<H", value)
                place = made.find(signature, place + 4)
    return bytes(made)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_method_of_pythons_is_read(tmp_path: Path, method: int) -> None:
    """Catches: a reader that takes pieces and loses some (the picture is longer than one)."""
    pixels = Image.effect_noise((200, 200), 50)
    file = io.BytesIO()
    pixels.save(file, "bmp")
    (tmp_path / "it.zip").write_bytes(archive([("a.bmp", file.getvalue())], None, method))
    loaded = ImageZip(str(tmp_path / "it.zip")).load("train", (200, 200), 1, tmp_path)
    assert loaded.images.flatten().tolist() == list(pixels.tobytes())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": 9}, "compression type 9|compression method"),
        ({"flags": 1}, "encrypted: make the archive without"),
    ],
)
@pytest.mark.parametrize("labelled", [False, True])
def test_what_python_does_not_unpack_is_one_line(
    tmp_path: Path, changes: dict[str, int], message: str, labelled: bool
) -> None:
    """Catches: NotImplementedError and RuntimeError, of an image or of its labels."""
    labels = {"labels": [["a.png", 0]]} if labelled else None
    path = tmp_path / "it.zip"
    path.write_bytes(patched(archive([("a.png", picture("png"))], labels), **changes))
    with pytest.raises(DataError, match=message):
        ImageZip(str(path)).load("train", (8, 8), 3, tmp_path)
    assert len(inspect(path).broken) == 1


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """Catches: an archive that unpacks to many times what any one member may have."""
    content = bytearray(archive([("a.png", picture("png", 0)), ("b.png", picture("png", 1))], None))
    second = content.rindex(b"PK\1\2")
    content[second + 42 : second + 46] = struct.pack("<I", 8)
    (tmp_path / "it.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.png .* begins within another file"):
        images_of(tmp_path / "it.zip")


def test_a_member_of_absurd_size_is_not_unpacked(tmp_path: Path) -> None:
    """Catches: 300 MB of zeros in 300 kB."""
    with (
        zipfile.ZipFile(tmp_path / "it.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
        made.open("a.png", "w") as member,
    ):
        for _ in range(257):
            member.write(bytes(1 << 20))
    assert "at most 268,435,456 are read" in str(inspect(tmp_path / "it.zip").broken[0].fault)


def test_a_directory_that_claims_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: reading gigabytes of a file with holes because it says that they are its list of members."""
    monkeypatch.setattr(image_zip, "MAX_DIRECTORY_BYTES", 1000)
    path = tmp_path / "it.zip"
    path.write_bytes(bytes(2000) + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 1500, 500, 0))
    with pytest.raises(DataError, match="its list of members claims 1,500 bytes"):
        images_of(path)


def test_the_other_kind_is_named(tmp_path: Path) -> None:
    """Catches: "there is no file" for a folder that is there."""
    folder, path = write(tmp_path / "it", "a.png"), zipped(tmp_path / "it.zip", "a.png")
    with pytest.raises(DataError, match="is a folder: set data=image_folder"):
        ImageZip(str(folder)).load("train", (8, 8), 3, tmp_path)
    with pytest.raises(DataError, match="is a file: set data=image_zip"):
        ImageFolder(str(path)).load("train", (8, 8), 3, tmp_path)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "a/" * 3000])
def test_impossible_paths_are_not_there(name: str) -> None:
    """Catches: OSError and ValueError of pathlib."""
    with pytest.raises(DataError, match="there is no"):
        ImageFolder(f"/{name}").load("train", (8, 8), 3, Path())
    with pytest.raises(DataError, match="there is no"):
        ImageZip(f"/{name}").load("train", (8, 8), 3, Path())
    with pytest.raises(DataError, match="there is no"):
        inspect(Path(f"/{name}"))
