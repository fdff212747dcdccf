"""What a sigmoid loss's scale and bias mean for ratio cuts and for routing by prompts, worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from calibration import Policy
from indexing import DomainClassifier, Encoder, Index, Manifest, build_index, log_similarities
from rag import Question
from rag.retrieval.modes import RetrievalMode
from rag.retrieval.routing import retrieve
from tests.indexing.few import few_records, write_corpus_to
from tests.indexing.tiny import SAMPLES, make_encoder
from titrate import InputError


def test_log_similarities() -> None:
    """Logits of 4, 3 and -3: probabilities 0.982, 0.953 and 0.047, and 0.953 / 0.047 = e³."""
    cosines = [0.9, 0.8, 0.2]
    assert log_similarities(cosines, 10.0) == pytest.approx([9.0, 8.0, 2.0])
    first, second, third = log_similarities(cosines, 10.0, -5.0)
    assert [math.exp(each) for each in (first, second, third)] == pytest.approx([0.98201, 0.95257, 0.04743], abs=1e-5)
    assert second - third == pytest.approx(3.0)
    assert first - second == pytest.approx(math.log(0.98201 / 0.95257), abs=1e-4)
    # A fall of 1 among cases that all match is a cut for a softmax and none for a sigmoid.
    assert Policy(8, gamma=0.5).count(log_similarities(cosines, 10.0)) == 1
    assert Policy(8, gamma=0.5).count(log_similarities(cosines, 10.0, -5.0)) == 2


def test_log_similarities_stay_finite_and_in_order() -> None:
    found = log_similarities([1.0, 0.99, 0.0, -0.99, -1.0], 1000.0, -500.0)
    assert np.isfinite(found).all()
    assert found[0] <= 0 and found == sorted(found, reverse=True)
    assert found[3] - found[4] == pytest.approx(10.0), "far from matching, it falls as the logit does"
    assert log_similarities([], 10.0, -5.0) == []


@pytest.fixture(scope="module")
def sigmoid(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.open(f"local-dir:{make_encoder(tmp_path_factory.mktemp('e'), 1, bias=-10.0)}", device="cpu")


def test_open_clip_tells_its_bias(sigmoid: Encoder, encoder: Encoder) -> None:
    assert sigmoid.logit_bias == -10.0
    assert encoder.logit_bias is None


def test_a_sigmoid_model_without_its_bias_is_refused(tmp_path: Path) -> None:
    """open_clip puts 0 in its place, and loads."""
    folder = make_encoder(tmp_path / "e", 1, bias=-10.0)
    tensors = load_file(folder / "open_clip_model.safetensors")
    del tensors["logit_bias"]
    save_file(tensors, folder / "open_clip_model.safetensors")
    with pytest.raises(InputError, match="trained with a sigmoid loss, and its weights hold no logit_bias"):
        Encoder.open(f"local-dir:{folder}", device="cpu")


def test_routing_by_prompts_is_a_softmax_for_both(sigmoid: Encoder) -> None:
    """Of two domains with match probabilities p₁ and p₂, of which exactly one holds, the first has odds₁ : odds₂."""
    prompts = {"a": ["heart"], "b": ["lung cell"]}
    classifier = DomainClassifier.zero_shot(prompts, sigmoid)
    texts = sigmoid.embed_texts(["heart", "lung cell"])
    image = texts[0] + 0.3 * texts[1]
    image /= np.linalg.norm(image)
    match = 1 / (1 + np.exp(-(sigmoid.logit_scale * texts @ image + -10.0)))
    one = match[0] * (1 - match[1]), match[1] * (1 - match[0])
    found = classifier.probabilities(image[None])[0]
    np.testing.assert_allclose(found, np.array(one) / sum(one), rtol=1e-3)
    assert 0.5 < found[0] < 1


@pytest.mark.parametrize("mode", ["image-image", "image-report", "question-report"])
def test_the_bias_is_used_where_image_and_report_are_compared(
    sigmoid: Encoder, tmp_path: Path, mode: RetrievalMode
) -> None:
    corpus = write_corpus_to(
        tmp_path / "corpus", [record for record in few_records() if record["split"] == "train"][:6]
    )
    build_index(corpus, tmp_path / "index", sigmoid)
    manifest = Manifest.load(tmp_path / "index")
    assert manifest.logit_bias == -10.0
    image = sorted((SAMPLES / "images/vqa-rad").iterdir())[0]
    question = Question(id="1", image=image, text="heart", answer="yes", options=("yes", "no"))
    with Index.open(tmp_path / "index") as index:
        retrieved = retrieve(index, sigmoid, [question], 3, mode)
    cosines = np.array([match.similarity for match in retrieved.matches[0]])
    logits = sigmoid.logit_scale * cosines
    wanted = np.log(1 / (1 + np.exp(-(logits - 10.0)))) if mode == "image-report" else logits
    np.testing.assert_allclose(retrieved.similarities(0, 3), wanted, rtol=1e-9)
    assert len(cosines) == 3
