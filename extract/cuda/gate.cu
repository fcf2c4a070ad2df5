/* gate: x = round(x * g), g = round(sigmoid(gate)) or silu(gate) in float, value by value
 * or one for a row. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 256 };

template <typename T>
static __global__ void gate_values(enum ol_gate_function function, T *x, const T *gate,
                                   int64_t n_cols, int64_t n_gates, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i >= n)
        return;
    const float g = ol_value(gate[n_gates == n_cols ? i : i / n_cols]);
    const float factor = function == OL_GATE_SILU ? ol_cuda_silu(g)
                                                  : ol_round_as<T>(ol_cuda_sigmoid(g));
    x[i] = ol_rounded<T>(ol_value(x[i]) * factor);
}

template <typename T>
static int run(struct ol_cuda *cuda, enum ol_gate_function function, struct ol_tensor x,
               struct ol_tensor gate, struct ol_error *err)
{
    const int64_t n = x.n_rows * x.n_cols;
    return ol_launch(cuda, err, "gate", gate_values<T>, dim3(ol_cuda_blocks(n, THREADS)),
                     dim3(THREADS), 0, function, (T *)x.data, (const T *)gate.data,
                     x.n_cols, gate.n_cols, n);
}

int ol_cuda_gate(struct ol_backend *b, enum ol_gate_function function, struct ol_tensor x,
                 struct ol_tensor gate, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    if (x.dtype == OL_DTYPE_BF16)
        return run<struct ol_bf16>(cuda, function, x, gate, err);
    return run<float>(cuda, function, x, gate, err);
}
