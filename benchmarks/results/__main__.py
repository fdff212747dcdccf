"""Is retrieval worth anything to models that have never seen the archive: from raw images to the page of figures.

    python -m benchmarks.results --data ../shared/data --work bench/results --worlds a --seeds 0 1 2

The sources of the data are parted into two worlds. A world's models were trained on its own sources (`make models`);
its archive is the other world's. For each seed the encoder is tuned on the archive's train split, the archive is
indexed, and all closed questions are answered at every k; comparators choose on `prefer` and `calibrate` and are judged
once on `test`. Whatever takes long is kept in the work folder, under names that tell what it was made from: a run that
was interrupted goes on, and a second one computes figures anew from what is there.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.archive import OTHER, Archive, write_archive
from benchmarks.results.compare import compare
from benchmarks.results.page import write_page
from benchmarks.results.plots import plot_risks, plot_violations
from benchmarks.results.system import MAX_K, Answered, Models, answer_splits, index_of, open_run, tuned_encoder
from benchmarks.results.violations import violations_at
from indexing import Encoder
from rag import answer_all
from titrate import InputError, TitrateError, write_atomic

TRAINED = Path("samples/models/.work")
ALPHA, DELTA, RESAMPLES = 0.35, 0.1, 1000


def main(
    data: Path,
    models: Mapping[str, Models],
    seeds: Sequence[int],
    page: Path,
    *,
    alpha: float = ALPHA,
    delta: float = DELTA,
    resamples: int = RESAMPLES,
    tuned: bool = True,
    command: str = "make results",
) -> None:
    """Run all of each world, one after the other; figures go to the work folder, the page and plots beside it."""
    figures = {}
    for world, of in models.items():
        archive = write_archive(data, world, of.work)
        answered = {seed: _answer(archive, of, seed, tuned) for seed in seeds}
        figures[world] = _figures(archive, of, answered, alpha, delta)
        plot_risks(page / f"risks-{world}.svg", figures[world]["comparators"], alpha)
        if resamples:
            _tell(f"world {world}: {resamples} resamples of its patients")
            first = answered[seeds[0]].outcomes
            found = violations_at(first, alpha, delta, resamples, of.work / "violations")
            figures[world]["violations"] = found
            plot_violations(page / f"violations-{world}.svg", found["alphas"][f"{alpha:g}"], alpha, delta)
        write_atomic(of.work / f"results-{world}.json", json.dumps(figures[world], indent=1) + "\n")
    print(write_page(page, figures, command))


def _answer(archive: Archive, models: Models, seed: int, tuned: bool) -> Answered:
    _tell(f"world {archive.world}, seed {seed}: encoder")
    encoder = tuned_encoder(archive, models, seed) if tuned else models.encoder
    _tell(f"world {archive.world}, seed {seed}: index")
    index = index_of(archive, encoder, models.work)
    _tell(f"world {archive.world}, seed {seed}: answers")
    with open_run(archive, models, index) as run:
        return answer_splits(run, archive)


def _figures(
    archive: Archive, models: Models, answered: Mapping[int, Answered], alpha: float, delta: float
) -> dict[str, Any]:
    compared = []
    for seed, one in answered.items():
        _tell(f"world {archive.world}, seed {seed}: comparators")
        compared.append((one.outcomes["test"], answer_all(one.trial(), alpha=alpha, delta=delta)))
    first = next(iter(answered.values()))
    asked = first.outcomes["test"].questions
    made = {
        "world": archive.world,
        "archive": archive.digest,
        "encoder": Encoder.open(models.encoder).fingerprint,
        "mllm": first.fingerprints["mllm"],
        "seeds": list(answered),
        "alpha": alpha,
        "delta": delta,
        "max_k": MAX_K,
        "sizes": {"questions": len(asked), "patients": len({question.unit for question in asked})},
    }
    return {"made": made, "comparators": compare(compared, archive.sources, alpha)}


def find_models(worlds: Sequence[str], work: Path, encoder: str | None, mllm: str | None) -> dict[str, Models]:
    """The models of each world.

    Raises
    ------
    InputError
        If some are not there, or one model is named for two worlds.
    """
    if len(set(worlds)) < len(worlds) or not set(worlds) <= set(OTHER):
        raise InputError(f"worlds are {', '.join(worlds)}; give a, b or both")
    if len(worlds) > 1 and (encoder or mllm):
        raise InputError("a model belongs to one world; give --encoder and --mllm with a single one of --worlds")
    found = {}
    for world in worlds:
        own = {"encoder": TRAINED / world / "encoder", "mllm": TRAINED / world / "mllm"}
        given = {"encoder": encoder, "mllm": mllm}
        missing = [str(folder) for name, folder in own.items() if given[name] is None and not folder.is_dir()]
        if missing:
            raise InputError(
                f"world {world} has no {' and no '.join(missing)}; run make models, name models with --encoder and "
                "--mllm, or leave that world out of --worlds"
            )
        found[world] = Models(encoder or f"local-dir:{own['encoder']}", mllm or str(own["mllm"]), work)
    return found


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder with corpus, questions and images")
    parser.add_argument("--work", type=Path, default=Path("bench/results"), help="folder that keeps all between runs")
    parser.add_argument("--worlds", nargs="+", default=["a", "b"], help="a, b or both")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the training")
    parser.add_argument("--encoder", help=f"of a single world; default local-dir:{TRAINED}/WORLD/encoder")
    parser.add_argument("--mllm", help=f"of a single world; default {TRAINED}/WORLD/mllm")
    parser.add_argument("--alpha", type=float, default=ALPHA)
    parser.add_argument("--delta", type=float, default=DELTA)
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, help="of patients, for how promises are kept; 0: none"
    )
    parser.add_argument("--untuned", action="store_true", help="index with the encoder as it is")
    parser.add_argument("--page", type=Path, default=Path("docs/results"), help="folder of the page and its plots")
    given = parser.parse_args()
    try:
        main(
            given.data,
            find_models(given.worlds, given.work, given.encoder, given.mllm),
            given.seeds,
            given.page,
            alpha=given.alpha,
            delta=given.delta,
            resamples=given.resamples,
            tuned=not given.untuned,
        )
    except TitrateError as error:
        sys.exit(f"results: {error}")
