#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares frontend/onnx.proto with the descriptors inside the onnx Python package.

    tools/check_proto.py [--protoc protoc-c]

Every message, enum, field (number, label, type, oneof, packing) and reserved range must agree
in both directions. Exit status: 0 equal, 1 different, 77 skipped (no onnx package or compiler).
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
PROTO = pathlib.Path(__file__).resolve().parent.parent / "frontend" / "onnx.proto"


def enum_facts(enum, prefix, facts):
    for value in enum.value:
        facts[f"{prefix}{enum.name}.{value.name}"] = value.number


def field_facts(message, field):
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return (field.number, field.label, field.type, field.type_name, oneof, field.options.packed)


def message_facts(message, prefix, facts):
    name = prefix + message.name + "."
    facts[name] = "message"
    for enum in message.enum_type:
        enum_facts(enum, name, facts)
    for nested in message.nested_type:
        message_facts(nested, name, facts)
    for field in message.field:
        facts[name + field.name] = field_facts(message, field)
    # Ranges are half open; flattened, so that "12, 13" and "12 to 13" are the same.
    facts[name + "(reserved numbers)"] = sorted(
        n for r in message.reserved_range for n in range(r.start, r.end))
    facts[name + "(reserved names)"] = sorted(message.reserved_name)


def file_facts(file):
    facts = {"package": file.package}
    for enum in file.enum_type:
        enum_facts(enum, "", facts)
    for message in file.message_type:
        message_facts(message, "", facts)
    return facts


def parse_proto(protoc, descriptor_pb2):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "onnx.desc")
        subprocess.run([protoc, f"--proto_path={PROTO.parent}", f"--descriptor_set_out={out}",
                        PROTO.name], check=True)
        return descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out).read_bytes()).file[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protoc", default="protoc-c", help="compiler that reads the .proto file")
    args = parser.parse_args()
    try:
        import onnx
        from google.protobuf import descriptor_pb2
        from onnx import onnx_ml_pb2
    except ImportError as error:
        print(f"skipped: {error}")
        return SKIPPED
    if not shutil.which(args.protoc):
        print(f"skipped: no {args.protoc}")
        return SKIPPED

    theirs = descriptor_pb2.FileDescriptorProto()
    onnx_ml_pb2.DESCRIPTOR.CopyToProto(theirs)
    want, got = file_facts(theirs), file_facts(parse_proto(args.protoc, descriptor_pb2))
    wrong = 0
    for name in sorted(want.keys() | got.keys()):
        if want.get(name) != got.get(name):
            print(f"{name}: onnx {onnx.__version__} has {want.get(name)}, onnx.proto {got.get(name)}")
            wrong += 1
    print(f"{len(want)} facts of onnx {onnx.__version__} compared, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
