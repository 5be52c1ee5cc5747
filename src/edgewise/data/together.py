"""Several sources that each have a part of the data."""

from dataclasses import dataclass
from pathlib import Path

from edgewise.data.archives import writing
from edgewise.data.sources import Source
from edgewise.progress import Progress


@dataclass(frozen=True)
class Together:
    """Sources that have the data only together; each fills a folder `0`, `1`, ... of its own."""

    sources: tuple[Source, ...]

    @property
    def resumes(self) -> bool:
        return all(source.resumes for source in self.sources)

    def __str__(self) -> str:
        return " and ".join(str(source) for source in self.sources)

    def bring(self, folder: Path, progress: Progress) -> None:
        for number, source in enumerate(self.sources):
            inside = folder / str(number)
            with writing(inside):
                inside.mkdir(exist_ok=True)
            source.bring(inside, progress)
