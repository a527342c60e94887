"""Looks at every file of sound, video, text, table or of two domains once: what is there, and what is broken."""

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ganlab.config.quoting import override
from ganlab.data.audio import SOUNDS, read_sound
from ganlab.data.decoding import describe_faults, in_threads
from ganlab.data.file_sets import FileSet, open_files
from ganlab.data.image_folder import walk
from ganlab.data.image_pairs import matched, opened_domains
from ganlab.data.image_zip import open_archive
from ganlab.data.inspection import inspect
from ganlab.data.listing import SUFFIXES, shown
from ganlab.data.pixels import reason
from ganlab.data.table import describe_column, read_table
from ganlab.data.text import SEPARATORS, read_lines
from ganlab.data.video import FILMS, VIDEOS, check_ffmpeg, frames_of, grouped
from ganlab.errors import DataError
from ganlab.modalities.table import Table
from ganlab.modalities.text import PADDING

TEXTS = (".txt", ".text", ".tok")
TABLES = (".csv", ".tsv")


@dataclass
class Survey:
    """What was found."""

    origin: str
    report: list[str]
    """Lines for a person to read."""
    faults: list[str] = field(default_factory=list)
    """What makes the data unfit, a line each."""
    words: list[str] = field(default_factory=list)
    """Of a command that trains on them, beside `data=` and `data.root=`."""
    num_samples: int = 0
    num_classes: int = 0
    facts: list[dict[str, Any]] = field(default_factory=list)
    """Of each file or column, as plain values."""

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "origin": self.origin,
            "faults": self.faults,
            "num_classes": self.num_classes,
            "files": self.facts,
        }


def kind_of(path: Path) -> str:
    """Returns the option of `data` that what lies at a path is meant for, by the names of the files."""
    suffix = path.suffix.lower()
    if os.path.isfile(path) and suffix in TEXTS + TABLES:
        return "text" if suffix in TEXTS else "table"
    names = [name.lower() for name in _names(path)]
    if not any(name.endswith(SUFFIXES) for name in names):
        for kind, suffixes in (("audio", SOUNDS.suffixes), ("video", FILMS)):
            if any(name.endswith(suffixes) for name in names):
                return kind
    return "image_folder" if os.path.isdir(path) else "image_zip"


def _names(path: Path) -> Sequence[str]:
    if os.path.isdir(path):
        return list(walk(path))
    if os.path.isfile(path) and zipfile.is_zipfile(path):
        with open_archive(path) as (_, members):
            return list(members)
    return []


def survey_audio(path: Path) -> Survey:
    """Decodes every sound of a folder or archive.

    Raises:
        DataError: if there are none.
    """
    with open_files(path, SOUNDS) as files:
        found = list(
            in_threads(lambda index: _look(index, files, _sound_facts), len(files.names), "checking")
        )
        survey = _survey(files, "sounds", files.names, found)
    whole = [facts for facts in found if "fault" not in facts]
    if whole:
        rates = Counter(facts["sample_rate"] for facts in whole)
        lengths = sorted(facts["seconds"] for facts in whole)
        survey.report += [
            _tally("sample rate", Counter({f"{rate} Hz": num for rate, num in rates.items()})),
            _tally("channels", Counter(str(facts["channels"]) for facts in whole)),
            f"  seconds: {lengths[0]:.2f} to {lengths[-1]:.2f}, median {median(lengths):.2f},"
            f" {sum(lengths):,.1f} together",
        ]
        rate = rates.most_common(1)[0][0]
        odd = {
            f"resampled where data.sample_rate={rate}": [f for f in whole if f["sample_rate"] != rate],
            "silent": [facts for facts in whole if facts["peak"] == 0],
            "louder than full scale, and clipped": [facts for facts in whole if facts["peak"] > 1],
        }
        for what, those in odd.items():
            if those:
                survey.report.append(f"  {what}: {len(those):,}, such as {those[0]['name']}")
        shortest = min(facts["samples"] for facts in whole)
        survey.words = [f"data.sample_rate={rate}", f"data.num_samples={min(16384, max(1, shortest))}"]
    return survey


def _sound_facts(content: bytes) -> dict[str, Any]:
    values, rate = read_sound(content)
    return {
        "sample_rate": rate,
        "channels": values.shape[1],
        "samples": len(values),
        "seconds": len(values) / rate,
        "peak": float(np.abs(values).max()),
        "sha256": hashlib.sha256(np.ascontiguousarray(values).data).hexdigest(),
    }


def survey_video(path: Path) -> Survey:
    """Decodes every frame of every video of a folder or archive.

    Raises:
        DataError: if there are none, or they are films and there is no ffmpeg.
    """
    with open_files(path, VIDEOS) as files:
        videos = grouped(files.names)
        names = list(videos)
        check_ffmpeg(names)

        def look(index: int) -> dict[str, Any]:
            try:
                sizes = [frame.size for frame in frames_of(files, names[index], videos[names[index]])]
                if not sizes:
                    raise ValueError("no frames")
                return {"name": shown(names[index]), "frames": len(sizes), "sizes": sorted({*sizes})}
            except (
                Exception
            ) as error:  # decoders of broken files raise almost anything; all of it is reported
                return {"name": shown(names[index]), "fault": reason(error)}

        found = list(in_threads(look, len(names), "checking"))
        survey = _survey(files, "videos", names, found)
    whole = [facts for facts in found if "fault" not in facts]
    if whole:
        lengths = sorted(facts["frames"] for facts in whole)
        sizes = Counter(f"{height}x{width}" for facts in whole for width, height in facts["sizes"])
        survey.report += [
            f"  frames: {lengths[0]} to {lengths[-1]}, median {median(lengths):g}",
            _tally("height x width", sizes),
        ]
        survey.words = [f"data.num_frames={min(16, lengths[0])}", "data.image_size=64"]
    return survey


def survey_text(path: Path, unit: str = "character") -> Survey:
    """Reads every line of a file.

    Raises:
        DataError: if it is no text.
    """
    lines = read_lines(path, unit)
    lengths = [len(line.tokens) for line in lines]
    counts = Counter(token for line in lines for token in line.tokens)
    longest = max(lines, key=lambda line: len(line.tokens))
    padded = min(lengths) < max(lengths)
    twice = len(lines) - len({line.tokens for line in lines})
    words = [f"data.num_tokens={max(lengths)}", f"data.vocabulary_size={len(counts) + padded}"]
    report = [
        f"{shown(str(path))}: {len(lines):,} lines that are not blank",
        f"  tokens in a line: {min(lengths)} to {max(lengths)} (line {longest.number}), median {median(lengths):g}",
        f"  vocabulary: {len(counts):,} tokens ({unit}s){f', and {PADDING} after shorter lines' if padded else ''}",
        _tally("most frequent", Counter({repr(token): num for token, num in counts.most_common(3)})),
    ]
    if twice:
        report.append(f"  lines that another one equals: {twice:,}")
    facts = [{"token": token, "count": num} for token, num in counts.most_common()]
    unit_words = [] if unit == "character" else [f"data.source.unit={unit}"]
    return Survey(shown(str(path)), report, [], words + unit_words, len(lines), 0, facts)


def survey_table(path: Path) -> Survey:
    """Reads every row of a CSV file.

    Raises:
        DataError: if it is no table.
    """
    cells = read_table(path)
    columns: list[dict[str, Any]] = []
    faults: list[str] = []
    for name in cells.columns:
        try:
            columns.append(describe_column(cells, name, categorical=False))
        except DataError as error:
            faults.append(str(error))
    report = [f"{cells.origin}: {len(cells.rows):,} rows, {len(cells.columns)} columns"]
    for column in columns:
        told = (
            f"{len(column['categories'])} categories ({', '.join(map(shown, column['categories'][:3]))}, ...)"
            if "categories" in column
            else f"numbers, mean {column['mean']:.6g}, standard deviation {column['std']:.6g}"
        )
        report.append(f"  {shown(column['name'])}: {told}")
    report += [f"  broken: {fault}" for fault in faults]
    width = Table(columns).shape[0] if columns else 0
    return Survey(cells.origin, report, faults, [f"data.num_columns={width}"], len(cells.rows), 0, columns)


def survey_domains(path: Path, kind: str, source: str, target: str) -> Survey:
    """Decodes every picture of two domains, and finds the pairs.

    Raises:
        DataError: if there are none.
    """
    with opened_domains(path, source, target) as domains:
        origin, faults = domains.listing.origin, []
        numbers = [len(domains.source_names), len(domains.target_names)]
        report = [f"{origin}: {numbers[0]:,} pictures of {shown(source)}, {numbers[1]:,} of {shown(target)}"]
        num = numbers[1]
        if kind == "image_pairs":
            try:
                num = len(matched(domains))
                report.append(f"  pairs: {num:,}")
            except DataError as error:
                faults.append(str(error))
                report.append(f"  pairs: {error}")
    pictures = inspect(path)
    report += list(pictures.report())[1:]
    if pictures.broken:
        named = [(place, str(image.fault)) for place, image in enumerate(pictures.images) if image.fault]
        faults.append(describe_faults(origin, "images", [image.name for image in pictures.images], named))
    words = [override("data.source.from", source), override("data.source.to", target)]
    if pictures.sizes:
        (height, width), _ = pictures.sizes.most_common(1)[0]
        width = width // 2 if domains.side_by_side else width
        words.append(f"data.image_size={height if height == width else f'[{height},{width}]'}")
    return Survey(origin, report, faults, words, num, 0, pictures.as_json()["images"])


def _look(index: int, files: FileSet, describe: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
    """Says what one file is, or why it cannot be read."""
    name = shown(files.names[index])
    try:
        return {"name": name, **describe(files.read(index))}
    except Exception as error:  # decoders of broken files raise almost anything; all of it is reported
        return {"name": name, "fault": reason(error)}


def _survey(files: FileSet, what: str, names: list[str], found: list[dict[str, Any]]) -> Survey:
    """Begins a survey with what is broken, the classes, and the files that are left out."""
    faults = [(place, facts["fault"]) for place, facts in enumerate(found) if "fault" in facts]
    origin, listing = files.listing.origin, files.listing
    survey = Survey(
        origin,
        [f"{origin}: {len(names):,} {what}, {len(faults):,} of them broken"],
        num_samples=len(names),
        facts=found,
    )
    survey.report += [f"  broken: {found[place]['name']} ({fault})" for place, fault in faults]
    if faults:
        survey.faults.append(describe_faults(origin, what, [facts["name"] for facts in found], faults))
    try:
        labels = files.labels_of(names)
        survey.num_classes = len(labels.class_names)
        survey.report += _classes(
            labels.numbers.tolist() if labels.numbers is not None else [], labels.class_names
        )
    except DataError as error:
        survey.faults.append(str(error))
        survey.report.append(f"  labels: {error}")
    if listing.others:
        survey.report.append(
            f"  ignored: {len(listing.others):,} other files, such as {shown(listing.others[0])}"
        )
    if listing.hidden:
        survey.report.append(
            f"  left out, hidden or of the system: {len(listing.hidden):,}, such as {shown(listing.hidden[0])}"
        )
    return survey


def _classes(labels: list[int], class_names: tuple[str, ...]) -> Iterator[str]:
    if not class_names:
        yield "  labels: none"
        return
    counts = Counter(labels)
    yield f"  classes: {len(class_names):,}"
    for number, name in enumerate(class_names[:100]):
        yield f"    {number} {shown(name)}: {counts[number]:,}"


def _tally(what: str, counts: Counter[str]) -> str:
    common = [f"{name} ({num:,})" for name, num in counts.most_common(3)]
    return f"  {what}: {', '.join(common)}{f' and {len(counts) - 3} more' if len(counts) > 3 else ''}"


SURVEYS: dict[str, Callable[[Path], Survey]] = {
    "audio": survey_audio,
    "video": survey_video,
    "text": survey_text,
    "table": survey_table,
}
"""What looks at the data that an option of `data` reads, where a path is all that it needs."""
UNITS = tuple(SEPARATORS)
