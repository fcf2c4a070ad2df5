/* The formats of weights, a line each: NAME.c beside this file says how config.json names
 * it, which tensors it is made of, how many bytes they are and how a CPU decodes them;
 * NAME.cu how a device does. A format is looked for before those above it, so that plain
 * tensors are what is left. */
OL_FORMAT(PLAIN, plain)
OL_FORMAT(FP8, fp8)
OL_FORMAT(MXFP8, mxfp8)
OL_FORMAT(MXFP4, mxfp4)
OL_FORMAT(NVFP4, nvfp4)
OL_FORMAT(INT8, int8)
OL_FORMAT(PACKED, packed)
OL_FORMAT(GPTQ, gptq)
OL_FORMAT(AWQ, awq)
#undef OL_FORMAT
