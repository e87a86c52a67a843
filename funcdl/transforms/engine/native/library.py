"""The C++ that every program begins with: types, elementary functions, and the words of the Philox generator.

There are no headers, which take a compiler seconds to read. Functions of float are polynomials that compilers turn into
vector instructions, within 2 ulp (the coefficients are those of Cephes, by S. L. Moshier); those of double are the C
library's. None moves a NaN, an infinity or the sign of a zero.
"""

SOURCE = r"""
typedef unsigned int u32; typedef unsigned long u64;
static inline float as_float(u32 x) { return __builtin_bit_cast(float, x); }
static inline u32 as_word(float x) { return __builtin_bit_cast(u32, x); }

// exp(x) = 2^n exp(r) with n = round(x / ln 2): |r| <= ln 2 / 2. Twice half of n, since 2^n may be out of range alone.
static inline float exp_(float x) {
    const float inside = x > 89.f ? 89.f : x < -105.f ? -105.f : x;
    const float shifted = inside * 1.44269504088896341f + 12582912.f, n = shifted - 12582912.f;
    const u32 whole = as_word(shifted) - 0x4b400000u;
    const float r = (inside - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f; p = p * r + 8.3334519073e-3f; p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f; p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.f;
    const u32 half = (u32)((int)whole >> 1);
    const float y = p * as_float((half + 127u) << 23) * as_float((whole - half + 127u) << 23);
    return x != x ? x : x > 88.7228394f ? __builtin_inff() : x < -104.f ? 0.f : y;
}
// log(x) = e ln 2 + log(1 + f) with sqrt(1/2) <= 1 + f < sqrt(2).
static inline float log_(float x) {
    const bool tiny = x < 1.17549435e-38f;
    const u32 word = as_word(tiny ? x * 33554432.f : x) + (0x3f800000u - 0x3f3504f3u);
    const float e = (float)((int)(word >> 23) - 127 - (tiny ? 25 : 0));
    const float f = as_float((word & 0x007fffffu) + 0x3f3504f3u) - 1.f, z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f; p = p * f + 1.1676998740e-1f; p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f; p = p * f - 1.6668057665e-1f; p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f; p = p * f + 3.3333331174e-1f;
    const float y = ((p * f * z + e * -2.12194440e-4f) - 0.5f * z) + f + e * 0.693359375f;
    return x != x || x == __builtin_inff() ? x : x < 0.f ? __builtin_nanf("") : x == 0.f ? -__builtin_inff() : y;
}
static inline float log1p_(float x) {
    const float u = 1.f + x, y = log_(u) * (x / (u - 1.f));
    return u == 1.f || x == __builtin_inff() ? x : u == 0.f ? -__builtin_inff() : y;
}
static inline float tanh_(float x) {
    const float size = __builtin_fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f; p = p * z - 5.37397155531e-2f; p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float small = p * z * size + size, large = 1.f - 2.f / (exp_(2.f * size) + 1.f);
    return __builtin_copysignf(size < 0.625f ? small : large, x);
}
static inline float sigmoid_(float x) { return 1.f / (1.f + exp_(-x)); }
static inline float sqrt_(float x) { return __builtin_sqrtf(x); }
static inline float fabs_(float x) { return __builtin_fabsf(x); }
static inline double exp_(double x) { return __builtin_exp(x); }
static inline double log_(double x) { return __builtin_log(x); }
static inline double log1p_(double x) { return __builtin_log1p(x); }
static inline double tanh_(double x) { return __builtin_tanh(x); }
static inline double sigmoid_(double x) { return 1. / (1. + __builtin_exp(-x)); }
static inline double sqrt_(double x) { return __builtin_sqrt(x); }
static inline double fabs_(double x) { return __builtin_fabs(x); }
static inline float expm1_(float x) { return __builtin_expm1f(x); }
static inline double expm1_(double x) { return __builtin_expm1(x); }
static inline float erf_(float x) { return __builtin_erff(x); }
static inline double erf_(double x) { return __builtin_erf(x); }
static inline float sin_(float x) { return __builtin_sinf(x); }
static inline double sin_(double x) { return __builtin_sin(x); }
static inline float cos_(float x) { return __builtin_cosf(x); }
static inline double cos_(double x) { return __builtin_cos(x); }
static inline float pow_(float x, float y) { return __builtin_powf(x, y); }
static inline double pow_(double x, double y) { return __builtin_pow(x, y); }
static inline float floor_(float x) { return __builtin_floorf(x); }
static inline double floor_(double x) { return __builtin_floor(x); }
static inline float ceil_(float x) { return __builtin_ceilf(x); }
static inline double ceil_(double x) { return __builtin_ceil(x); }
static inline float round_(float x) { return __builtin_nearbyintf(x); }
static inline double round_(double x) { return __builtin_nearbyint(x); }
template <typename T> static inline T larger(T x, T y) { return y > x || y != y ? y : x; }
template <typename T> static inline T smaller(T x, T y) { return y < x || y != y ? y : x; }
template <typename T> static inline T sign_(T x) { return (T)((x > 0) - (x < 0)); }
template <typename T> static inline T lerp_(T start, T end, T weight) {
    return fabs_(weight) < (T)0.5 ? start + weight * (end - start) : end - (end - start) * (1 - weight);
}
"""

PHILOX = r"""
static inline void philox_block(u64 seed, u64 counter, u32* words) {
    u32 c0 = (u32)counter, c1 = (u32)(counter >> 32), c2 = 0, c3 = 0, k0 = (u32)seed, k1 = (u32)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const u64 p0 = (u64)c0 * 0xD2511F53u, p1 = (u64)c2 * 0xCD9E8D57u;
        const u32 next0 = (u32)(p1 >> 32) ^ c1 ^ k0, next2 = (u32)(p0 >> 32) ^ c3 ^ k1;
        c1 = (u32)p1; c3 = (u32)p0; c0 = next0; c2 = next2;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    words[0] = c0; words[1] = c1; words[2] = c2; words[3] = c3;
}
static inline void philox_words(u64 seed, u64 offset, long count, u32* out) {
    u32 words[4];
    for (long block = 0; 4 * block < count; block++) {
        philox_block(seed, offset + (u64)block, words);
        for (int word = 0; word < 4 && 4 * block + word < count; word++) out[4 * block + word] = words[word];
    }
}
"""
