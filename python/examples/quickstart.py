"""Memories that are found by meaning and kept on disk. Runs offline: pip install "vecmem[langgraph]" """

import zlib

import vecmem


def embed(texts: list[str]) -> list[list[float]]:
    """Counts character trigrams: good enough to try, and to be replaced by an embedding model."""
    vectors = []
    for text in texts:
        padded, vector = f"  {text.lower()} ", [0.0] * 256
        for i in range(len(padded) - 2):
            vector[zlib.crc32(padded[i : i + 3].encode()) % 256] += 1.0
        vectors.append(vector)
    return vectors


with vecmem.Store("memories", index={"dims": 256, "embed": embed, "fields": ["text"]}) as store:
    facts = ("users", "ada", "facts")
    store.put(facts, "tea", {"text": "Ada drinks green tea in the morning", "kind": "preference", "importance": 4})
    store.put(facts, "cat", {"text": "Ada has a cat called Turing", "kind": "family", "importance": 5})
    store.put(facts, "train", {"text": "Ada takes the train to work", "kind": "habit", "importance": 2})

    for hit in store.search(("users", "ada"), query="What is her cat called?", filter={"importance": {"$gte": 3}}):
        print(f"{hit.score:.2f}  {hit.value['text']}")

with vecmem.Store("memories") as store:  # a later run, another process: everything is there
    print(store.get(("users", "ada", "facts"), "tea").value["text"])
