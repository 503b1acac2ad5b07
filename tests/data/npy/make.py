#!/usr/bin/env python3
"""Writes the .npy and .npz files of this folder with NumPy: what npy_test.c reads must come from NumPy itself."""
import os

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))


def save(name, array, version=None):
    with open(os.path.join(here, name), "wb") as f:
        np.lib.format.write_array(f, array, version=version)


counting = np.arange(24).reshape(2, 3, 4)
save("f32.npy", counting.astype("<f4"))
save("f32_v2.npy", counting.astype("<f4"), version=(2, 0))
save("f32_v3.npy", counting.astype("<f4"), version=(3, 0))
save("f32_fortran.npy", np.asfortranarray(counting.astype("<f4")))
save("i32_big.npy", counting.astype(">i4"))
save("c64_big_fortran.npy", np.asfortranarray((counting * (1 + 2j)).astype(">c8")))
save("f16.npy", np.array([0.5, -2, 65504], "<f2"))
save("bool.npy", np.array([[True, False]]))
save("scalar.npy", np.array(7, "<i8"))
save("empty.npy", np.zeros((0, 5), "<f8"))
save("objects.npy", np.array(["a", "bc"]))
save("records.npy", np.zeros(2, [("x", "<f4"), ("y", "<i4")]))
np.savez(os.path.join(here, "two.npz"), x=counting.astype("<f4"), y=np.array([1, 2], "<i8"))
np.savez_compressed(os.path.join(here, "two_deflated.npz"), x=counting.astype("<f4"), y=np.array([1, 2], "<i8"))
