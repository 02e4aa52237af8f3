/*
 * What the gates of recurrent layers compute: ONNX's activations, and sigmoid and tanh with the same bits on every ISA.
 * The kind must be a compile-time constant.
 */
#ifndef EC_GATES_H
#define EC_GATES_H

#include "ec_math.h"

typedef enum {
    EC_AFFINE,
    EC_ELU,
    EC_HARDSIGMOID,
    EC_LEAKYRELU,
    EC_RELU,
    EC_SCALEDTANH,
    EC_SIGMOID,
    EC_SOFTPLUS,
    EC_SOFTSIGN,
    EC_TANH,
    EC_THRESHOLDEDRELU,
    EC_EXACT_SIGMOID,
    EC_EXACT_TANH
} ec_activation_kind;

typedef struct {
    ec_activation_kind kind;
    float alpha, beta;
} ec_activation;

#define EC_ACTIVATION(kind, alpha, beta)                                                                               \
    {                                                                                                                  \
        kind, alpha, beta                                                                                              \
    }

/* tanh in add, mul and div alone, so that its bits are the same everywhere; at most 1.2e-6 off. */
EC_INLINE ec_f32 ec_f32_exact_tanh(ec_f32 x)
{
    static const float p[] = {3.93000016e-06f, 0.00227698657f, 0.123021808f, 0.999995689f};
    static const float q[] = {0.00014235057f, 0.0210721699f, 0.456340296f, 1.0f};
    x = ec_f32_min(ec_f32_set(7.0f), ec_f32_max(ec_f32_set(-7.0f), x));
    ec_f32 square = ec_f32_mul(x, x), above = ec_f32_set(p[0]), below = ec_f32_set(q[0]);
    EC_UNROLL
    for (int i = 1; i < 4; i++) {
        above = ec_f32_add(ec_f32_mul(above, square), ec_f32_set(p[i]));
        below = ec_f32_add(ec_f32_mul(below, square), ec_f32_set(q[i]));
    }
    return ec_f32_div(ec_f32_mul(x, above), below);
}

EC_INLINE ec_f32 ec_f32_exact_sigmoid(ec_f32 x)
{
    const ec_f32 half = ec_f32_set(0.5f);
    return ec_f32_add(ec_f32_mul(half, ec_f32_exact_tanh(ec_f32_mul(half, x))), half);
}

EC_INLINE ec_f32 ec_activate(ec_f32 x, ec_activation function)
{
    const ec_f32 zero = ec_f32_set(0.0f), one = ec_f32_set(1.0f);
    const ec_f32 alpha = ec_f32_set(function.alpha), beta = ec_f32_set(function.beta);
    switch (function.kind) {
    case EC_AFFINE:
        return ec_f32_add(ec_f32_mul(alpha, x), beta);
    case EC_ELU:
        return ec_f32_select(ec_f32_lt(x, zero), ec_f32_mul(alpha, ec_f32_sub(ec_f32_exp(x), one)), x);
    case EC_HARDSIGMOID:
        return ec_f32_min(one, ec_f32_max(zero, ec_f32_add(ec_f32_mul(alpha, x), beta)));
    case EC_LEAKYRELU:
        return ec_f32_select(ec_f32_lt(x, zero), ec_f32_mul(alpha, x), x);
    case EC_RELU:
        return ec_f32_max(zero, x);
    case EC_SCALEDTANH:
        return ec_f32_mul(alpha, ec_f32_tanh(ec_f32_mul(beta, x)));
    case EC_SIGMOID:
        return ec_f32_sigmoid(x);
    case EC_SOFTPLUS:
        return ec_f32_add(ec_f32_max(zero, x), ec_f32_log(ec_f32_add(one, ec_f32_exp(ec_f32_neg(ec_f32_abs(x))))));
    case EC_SOFTSIGN:
        return ec_f32_div(x, ec_f32_add(one, ec_f32_abs(x)));
    case EC_TANH:
        return ec_f32_tanh(x);
    case EC_THRESHOLDEDRELU:
        return ec_f32_select(ec_f32_lt(alpha, x), x, zero);
    case EC_EXACT_SIGMOID:
        return ec_f32_exact_sigmoid(x);
    case EC_EXACT_TANH:
        return ec_f32_exact_tanh(x);
    }
    return x;
}

#endif
