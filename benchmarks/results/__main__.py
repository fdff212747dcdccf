"""Is retrieval worth anything to models that have never seen the archive: from raw images to the page of figures.

    python -m benchmarks.results --data ../shared/data --work bench/results --worlds a --seeds 0 1 2

The sources of the data are parted into two worlds. A world's models were trained on its own sources (`make models`);
its archive is the other world's. For each seed the encoder is tuned on the archive's train split, the archive is
indexed, and all closed questions are answered at every k; comparators choose on `prefer` and `calibrate` and are judged
once on `test`. Adapters are trained on preference pairs mined on `prefer`. Whatever takes long is kept in the work
folder, under names that tell what it was made from: a run that was interrupted goes on, and a second one computes
figures anew from what is there.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.archive import OTHER
from benchmarks.results.page import write_page
from benchmarks.results.pairs import CHOICES
from benchmarks.results.system import Models
from benchmarks.results.world import Settings, run_world
from titrate import InputError, TitrateError

TRAINED = Path("samples/models/.work")


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Settings()
    parser.add_argument("--data", type=Path, required=True, help="data folder with corpus, questions and images")
    parser.add_argument("--work", type=Path, default=Path("bench/results"), help="folder that keeps all between runs")
    parser.add_argument("--worlds", nargs="+", default=["a", "b"], help="a, b or both")
    parser.add_argument("--seeds", nargs="+", type=int, default=usual.seeds, help="of the training")
    parser.add_argument("--encoder", help=f"of a single world; default local-dir:{TRAINED}/WORLD/encoder")
    parser.add_argument("--mllm", help=f"of a single world; default {TRAINED}/WORLD/mllm")
    parser.add_argument("--alpha", type=float, help="risk to promise; by default chosen on the split prefer")
    parser.add_argument("--delta", type=float, default=usual.delta)
    parser.add_argument("--resamples", type=int, default=usual.resamples, help="of patients, at each α; 0 for none")
    parser.add_argument("--untuned", action="store_true", help="index with the encoder as it is")
    parser.add_argument(
        "--pairs", nargs="*", choices=CHOICES, default=usual.pairs, help="to train on; none: no training"
    )
    parser.add_argument("--no-ablations", action="store_true")
    parser.add_argument("--page", type=Path, default=Path("docs/results"), help="folder of the page and its plots")
    given = parser.parse_args()
    try:
        settings = Settings(
            given.seeds,
            given.alpha,
            given.delta,
            given.resamples,
            not given.untuned,
            given.pairs,
            not given.no_ablations,
        )
        models = find_models(given.worlds, given.work, given.encoder, given.mllm)
        figures = {world: run_world(given.data, world, of, settings, given.page) for world, of in models.items()}
        print(write_page(given.page, figures, "make results"))
    except TitrateError as error:
        sys.exit(f"results: {error}")
