"""How many digits the network gets right: the model in numpy, and the compiled artifact.

    python examples/accuracy.py [TARGET]        host if none is named; foreign ones run under an emulator
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import edgec

HERE = Path(__file__).parent


def main(target: str = "host") -> None:
    samples = np.load(HERE / "digits.npz")
    images, labels = samples["images"], samples["labels"]
    (before,) = edgec.Graph.load(HERE / "digits.onnx", dims={"batch": len(images)}).evaluate({"images": images})
    model = edgec.compile(HERE / "digits.onnx", target)
    after = model.run_many({"images": images})["probabilities"]
    for name, found in (("before", before), (target, after)):
        print(f"{name}: {int((found.argmax(1) == labels).sum())} of {len(labels)}")
    print(f"largest difference: {float(np.abs(after - before).max()):.1g}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
