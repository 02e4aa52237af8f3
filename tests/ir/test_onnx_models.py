"""Whole networks: import and evaluation against what ONNX Runtime computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec.ir import verify
from edgec.ir.onnx_import import load

NETWORKS = [
    "alibaba_ad",
    "alibaba_kws",
    "deeplabv3_mnv2_voc_257",
    "lprnet_plates",
    "magika_standard_v3_3",
    "micro_kws_fp32",
    "mlperftiny_resnet8_fp32",
    "mlperftiny_vww_fp32",
    "mnist8_cntk",
    "ppocr_mobile_v2_cls",
    "ppocr_v3_det",
    "resnet20_cifar10",
    "squeezenet_fp32_imagenet",
    "stories260k_prefill_32",
    "super_resolution_core_op18",
    "ultraface_rfb320",
    "ultraface_slim320_simpl",
    "winml_iris",
    "yolox_nano_coco",
    "yunet_n_320",
]


@pytest.mark.models
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_what_onnx_runtime_does(models: Path, name: str) -> None:
    with np.load(models / "real" / f"{name}.npz", allow_pickle=False) as file:
        inputs = {key[3:]: file[key] for key in file.files if key.startswith("in:")}
        outputs = {key[4:]: file[key] for key in file.files if key.startswith("out:")}
    graph = load(models / "real" / f"{name}.onnx", shapes={key: array.shape for key, array in inputs.items()})
    verify(graph)
    found = dict(zip(graph.output_names, graph.evaluate(inputs), strict=True))
    for key, wanted in outputs.items():
        assert found[key].shape == wanted.shape
        assert np.abs(found[key] - wanted.astype(np.float64)).max() <= 1e-3 * np.abs(wanted).max()
