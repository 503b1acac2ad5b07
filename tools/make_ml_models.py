#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/ml: models of one operator of ai.onnx.ml each, in the layout of ONNX's test data, which has none for most of them.

    tools/make_ml_models.py         # needs the onnx package, numpy and onnxruntime

The expected outputs are ONNX Runtime's.
"""
import pathlib
import shutil

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "ml"
RNG = np.random.default_rng(11)
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def tensor(name, array):
    kind = STRING if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, list(array.shape))


def map_info(name, key, value):
    inside = helper.make_tensor_type_proto(value, [])
    return helper.make_value_info(name, helper.make_map_type_proto(key, inside))


def zip_info(name, key):
    inside = helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, []))
    return helper.make_value_info(name, helper.make_sequence_type_proto(inside))


def proto(value, name):
    if isinstance(value, list):
        return numpy_helper.from_list(value, name)
    if isinstance(value, dict):
        return map_proto(value, name)
    return numpy_helper.from_array(np.asarray(value), name)


def map_proto(value, name):
    out = onnx.MapProto(name=name)
    strings = isinstance(next(iter(value)), str)
    out.key_type = STRING if strings else INT64
    (out.string_keys if strings else out.keys).extend(k.encode() if strings else k for k in value)
    values = [np.asarray(v, dtype=object if isinstance(v, str) else np.int64 if isinstance(v, int) else np.float32) for v in value.values()]
    out.values.CopyFrom(onnx.SequenceProto(elem_type=onnx.SequenceProto.TENSOR, tensor_values=[numpy_helper.from_array(v) for v in values]))
    return out


def maps_proto(values, name):
    return onnx.SequenceProto(name=name, elem_type=onnx.SequenceProto.MAP, map_values=[map_proto(v, "") for v in values])


def case(name, op, inputs, outputs, opset=1, infos=None, **attributes):
    """inputs: name -> value; outputs: value infos, without shapes."""
    infos = infos or [tensor(k, v) for k, v in inputs.items()]
    node = helper.make_node(op, list(inputs), [o.name for o in outputs], domain="ai.onnx.ml", **attributes)
    graph = helper.make_graph([node], name, infos, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", opset), helper.make_opsetid("", 17)], ir_version=8, producer_name="test")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    folder = ROOT / name / "test_data_set_0"
    folder.mkdir(parents=True)
    onnx.save(model, folder.parent / "model.onnx")
    for i, (k, v) in enumerate(inputs.items()):
        (folder / f"input_{i}.pb").write_bytes(proto(v, k).SerializeToString())
    for i, v in enumerate(session.run(None, inputs)):
        maps = isinstance(v, list) and v and isinstance(v[0], dict)
        p = maps_proto(v, outputs[i].name) if maps else proto(v, outputs[i].name)
        (folder / f"output_{i}.pb").write_bytes(p.SerializeToString())


def out(name, kind):
    return helper.make_tensor_value_info(name, kind, None)


def f32(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def floats(n):
    return [float(np.float32(v)) for v in RNG.normal(size=n)]


def words(*items):
    return np.array(items, dtype=object)


def features():
    x = f32(4, 3)
    case("array_feature_extractor", "ArrayFeatureExtractor", {"x": f32(2, 3, 5), "i": np.array([4, 0, 2])}, [out("y", FLOAT)])
    case("binarizer", "Binarizer", {"x": x}, [out("y", FLOAT)], threshold=0.25)
    case("scaler", "Scaler", {"x": x}, [out("y", FLOAT)], offset=floats(3), scale=floats(3))
    case("scaler_one_int", "Scaler", {"x": np.array([[1, -5], [7, 3]])}, [out("y", FLOAT)], offset=[0.5], scale=[2.5])
    for norm in ("MAX", "L1", "L2"):
        case(f"normalizer_{norm.lower()}", "Normalizer", {"x": np.abs(x)}, [out("y", FLOAT)], norm=norm)
    lost = x.copy()
    lost[1, 2] = lost[3, 0] = np.nan
    case("imputer_nan", "Imputer", {"x": lost}, [out("y", FLOAT)], replaced_value_float=float("nan"), imputed_value_floats=floats(3))
    case("imputer_int", "Imputer", {"x": np.array([[1, 2], [2, 3]])}, [out("y", INT64)], replaced_value_int64=2, imputed_value_int64s=[9])
    case("feature_vectorizer", "FeatureVectorizer", {"a": f32(3, 2), "b": f32(3, 4)}, [out("y", FLOAT)], inputdimensions=[2, 4])
    case("category_mapper_strings", "CategoryMapper", {"x": words("cat", "dog", "cow")}, [out("y", INT64)], cats_strings=["cat", "dog"], cats_int64s=[3, 8], default_int64=-4)
    case("category_mapper_ints", "CategoryMapper", {"x": np.array([[8, 3, 1]])}, [out("y", STRING)], cats_strings=["cat", "dog"], cats_int64s=[3, 8], default_string="none")
    case("one_hot_strings", "OneHotEncoder", {"x": words("b", "z", "a")}, [out("y", FLOAT)], cats_strings=["a", "b", "c"])
    case("one_hot_ints", "OneHotEncoder", {"x": np.array([[1, 5], [7, 1]])}, [out("y", FLOAT)], cats_int64s=[1, 5, 7])
    case("label_encoder_floats", "LabelEncoder", {"x": np.array([1, 2, np.nan, 5], np.float32)}, [out("y", STRING)], opset=4, keys_floats=[1.0, 2.0, float("nan")], values_strings=["one", "two", "nan"], default_string="?")


def linear():
    x = f32(5, 3)
    case("linear_regressor", "LinearRegressor", {"x": x}, [out("y", FLOAT)], coefficients=floats(6), intercepts=floats(2), targets=2)
    for after in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"):
        scale = 0.01 if after == "PROBIT" else 1  # defined between 0 and 1
        case(f"linear_classifier_{after.lower()}", "LinearClassifier", {"x": x * np.float32(scale)}, [out("y", INT64), out("z", FLOAT)],
             coefficients=floats(9), intercepts=[0.3, 0.4, 0.5], classlabels_ints=[4, 5, 7], post_transform=after)
    case("linear_classifier_binary", "LinearClassifier", {"x": x}, [out("y", STRING), out("z", FLOAT)],
         coefficients=floats(6), intercepts=floats(2), classlabels_strings=["no", "yes"], post_transform="LOGISTIC", multi_class=1)


def vectors():
    x, params = f32(6, 3), [0.4, 0.7, 3.0]
    for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        case(f"svm_regressor_{kernel.lower()}", "SVMRegressor", {"x": x}, [out("y", FLOAT)], n_supports=4,
             support_vectors=floats(12), coefficients=floats(4), rho=[0.2], kernel_type=kernel, kernel_params=params)
    case("svm_one_class", "SVMRegressor", {"x": x}, [out("y", FLOAT)], n_supports=4, one_class=1,
         support_vectors=floats(12), coefficients=floats(4), rho=[0.1], kernel_type="RBF", kernel_params=params)
    shared = dict(classlabels_ints=[0, 1, 2], vectors_per_class=[2, 1, 2], support_vectors=floats(15), coefficients=floats(10),
                  rho=floats(3), kernel_type="RBF", kernel_params=params)
    case("svm_classifier", "SVMClassifier", {"x": x}, [out("y", INT64), out("z", FLOAT)], **shared)
    case("svm_classifier_prob", "SVMClassifier", {"x": x}, [out("y", INT64), out("z", FLOAT)], prob_a=[-1.2, -0.8, -1.5], prob_b=[0.1, 0.0, -0.2], **shared)


TREES = dict(
    nodes_treeids=[0, 0, 0, 0, 0, 1, 1, 1],
    nodes_nodeids=[0, 1, 2, 3, 4, 0, 1, 2],
    nodes_featureids=[0, 0, 2, 0, 0, 1, 0, 0],
    nodes_modes=["BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"],
    nodes_values=[0.1, 0.0, -0.3, 0.0, 0.0, 0.2, 0.0, 0.0],
    nodes_truenodeids=[1, 0, 3, 0, 0, 1, 0, 0],
    nodes_falsenodeids=[2, 0, 4, 0, 0, 2, 0, 0],
    nodes_missing_value_tracks_true=[1, 0, 0, 0, 0, 0, 0, 0],
)
LEAVES = [(0, 1), (0, 3), (0, 4), (1, 1), (1, 2)]


def votes(kind, n):
    """Every leaf votes for every target: what a target without votes gets is not agreed upon."""
    return {
        f"{kind}_treeids": [t for t, _ in LEAVES for _ in range(n)],
        f"{kind}_nodeids": [i for _, i in LEAVES for _ in range(n)],
        f"{kind}_ids": list(range(n)) * len(LEAVES),
        f"{kind}_weights": floats(n * len(LEAVES)),
    }


def trees():
    x = f32(8, 3)
    x[3, 0] = np.nan
    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        case(f"tree_regressor_{how.lower()}", "TreeEnsembleRegressor", {"x": x}, [out("y", FLOAT)], opset=3, n_targets=2,
             aggregate_function=how, base_values=[0.5, -0.25], **votes("target", 2), **TREES)
    for after in ("NONE", "SOFTMAX", "LOGISTIC"):
        case(f"tree_classifier_{after.lower()}", "TreeEnsembleClassifier", {"x": x}, [out("y", STRING), out("z", FLOAT)], opset=3,
             classlabels_strings=["a", "b", "c"], post_transform=after, **votes("class", 3), **TREES)


def maps():
    case("zip_map_strings", "ZipMap", {"x": f32(3, 2)}, [zip_info("z", STRING)], classlabels_strings=["no", "yes"])
    case("zip_map_ints", "ZipMap", {"x": f32(2, 3)}, [zip_info("z", INT64)], classlabels_int64s=[10, 20, 30])
    case("dict_vectorizer_strings", "DictVectorizer", {"x": {"c": 4.0, "a": 8.0}}, [out("y", FLOAT)], infos=[map_info("x", STRING, FLOAT)], string_vocabulary=["a", "b", "c"])
    case("dict_vectorizer_ints", "DictVectorizer", {"x": {7: 1.5, 3: 2.5}}, [out("y", FLOAT)], infos=[map_info("x", INT64, FLOAT)], int64_vocabulary=[3, 5, 7])
    case("cast_map_dense", "CastMap", {"x": {5: 1.5, 2: 2.5}}, [out("y", FLOAT)], infos=[map_info("x", INT64, FLOAT)])
    case("cast_map_sparse", "CastMap", {"x": {3: 1.5, 1: 2.5}}, [out("y", FLOAT)], infos=[map_info("x", INT64, FLOAT)], map_form="SPARSE", max_map=5)


shutil.rmtree(ROOT, ignore_errors=True)
features()
linear()
vectors()
trees()
maps()
