"""Files as they should be."""

from dataclasses import asdict

from rag import Outcome
from rag.outcomes.looks import Look

QUESTION = {
    "id": "q1", "image": "a.png", "question": "Is there an effusion?", "answer": "yes", "options": ["yes", "no"],
    "patient": "p1", "study": 7, "domain": "radiology", "split": "test", "record": "r1", "kind": None,
}  # fmt: skip
RECORD = {"id": "r1", "image": "a.png", "report": "No effusion.", "domain": "radiology", "patient": 7, "split": "train"}
PAIR = {
    "id": "x", "image": "a.png", "prompt": "Question: Any?", "chosen": "yes", "rejected": "no", "kind": "copying",
    "rejected_noise": {"strength": 500, "seed": 1, "side": 64, "region": [0, 0, 1, 1]}, "rejected_image": "b.png",
    "weight": 1.5, "k": 2, "patient": "p", "study": None, "split": "prefer",
}  # fmt: skip
RELEASED = {
    "id": "x",
    "image": "a.png",
    "conversations": [{"from": "human", "value": "<image>Any?"}, {"from": "gpt", "value": "yes"}],
    "rejected_conversations": [{"from": "human", "value": "<image>Any?"}, {"from": "gpt", "value": "no"}],
    "rejected_noised": 1,
}
VQA_RAD = {
    "qid": 1,
    "image_name": "a.png",
    "image_case_url": "u",
    "question": "Any?",
    "answer": "Yes",
    "answer_type": "CLOSED",
}
PMC_VQA = {
    "Figure_path": "a.png", "Question": "Any?", "Answer": "A", "Choice A": "A: x", "Choice B": "B: y",
    "Choice C": "C: z", "Choice D": "D: w", "Answer_label": "A",
}  # fmt: skip
REGION = {"image": "a.png", "box": [1, 2, 9, 10]}
OUTCOME = {"question": "q"} | asdict(Outcome([0.0, 1.0], [0.7, 0.6], ["yes", "no"], [[-0.3, -1.4], [-0.4, -1.2]]))
LOOK = asdict(Look("2026-01-01T00:00:00+00:00", "a", "b", "c", 0.1, 0.0, 1, (("p", "q"),), True))
TOML = '[ask]\nk = 3\nroot = "x"\n[calibrate]\ngamma = [0.1, 0.2]\nalpha = 0.1\n'
SERVER = {"error": {"message": "no such model", "code": 404}, "detail": [{"msg": "x"}]}
