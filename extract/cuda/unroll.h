/* OL_UNROLL before a loop whose variables index arrays that must stay in registers. */
#ifndef OL_CUDA_UNROLL_H
#define OL_CUDA_UNROLL_H

#ifdef __CUDACC__
#define OL_UNROLL _Pragma("unroll")
#else
#define OL_UNROLL
#endif

#endif
