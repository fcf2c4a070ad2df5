/* OL_UNROLL before a loop whose variables index arrays that must stay in registers;
 * OL_NO_UNROLL before one that would fill them. */
#ifndef OL_CUDA_UNROLL_H
#define OL_CUDA_UNROLL_H

#ifdef __CUDACC__
#define OL_UNROLL    _Pragma("unroll")
#define OL_NO_UNROLL _Pragma("unroll 1")
#else
#define OL_UNROLL
#define OL_NO_UNROLL
#endif

#endif
