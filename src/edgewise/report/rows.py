"""What is known of each variant, brought together from the records."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise.report.contents import Contents, Source
from edgewise.report.schema import Accuracy, Closeness, Export, Precision, Variant
from edgewise.series.measurement import Measurement
from edgewise.stats import Interval


@dataclass(frozen=True)
class Row:
    """Everything known of one variant. speed_up: over the baseline, None for itself."""

    variant: Variant
    baseline: Variant
    accuracy: Accuracy | None
    precision: Precision | None
    closeness: Closeness | None
    export: Export | None
    measured: Measurement | None
    speed_up: Interval | None
    sources: Mapping[str, Source]

    @property
    def is_baseline(self) -> bool:
        return self.variant is self.baseline


def rows(contents: Contents) -> tuple[Row, ...]:
    """A row a variant, in the manifest's order."""
    baseline = next(one for one in contents.variants if one.name == contents.baseline)
    return tuple(_row(contents, one, baseline) for one in contents.variants)


def _row(contents: Contents, variant: Variant, baseline: Variant) -> Row:
    export, measured = contents.exports.get(variant.name), contents.measured(variant.name)
    sources = {}
    for kind in ("accuracy", "precision", "closeness"):
        if (recorded := getattr(contents, kind)) is not None:
            sources[kind] = recorded.source
    if contents.measurement is not None:
        sources["measurement"] = contents.measurement.source
    if export is not None:
        sources["export"] = export.source
    speed_up = None
    if contents.measurement is not None and measured is not None and variant is not baseline:
        speed_up = contents.measurement.result.speed_up(measured)
    return Row(
        variant=variant,
        baseline=baseline,
        accuracy=contents.accuracy_of(variant.name),
        precision=contents.precision_of(variant.name),
        closeness=contents.closeness_of(variant.name),
        export=None if export is None else export.result,
        measured=measured,
        speed_up=speed_up,
        sources=sources,
    )


def is_tie(ratio: Interval) -> bool:
    """Whether the interval holds 1: neither faster nor slower."""
    return ratio.low <= 1 <= ratio.high
