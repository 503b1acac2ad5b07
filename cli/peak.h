/* The machine's arithmetic limit: fp32 multiply-adds per second of one core, measured. */
#ifndef TLBC_CLI_PEAK_H
#define TLBC_CLI_PEAK_H

/* GFLOP/s (a multiply-add counts two) of the best of several short loops with the widest vectors there are; 20 ms. */
double peak_measure_f32(void);

#endif
