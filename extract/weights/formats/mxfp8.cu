#include "extract/weights/formats/e4m3.cuh"

OL_CUDA_DECODER(mxfp8, struct ol_e4m3)
