// The few numpy functions that the reference builds its schedules with, rounding as numpy rounds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace easel::numpy {

/// np.linspace(start, stop, count) in float64. One point is `start`.
std::vector<double> linspace(double start, double stop, std::int64_t count);

/// np.arange(start, stop, step) in float64. Like numpy's it can hold one value more than arithmetic on paper says,
/// since the length comes from a rounded division; the reference's "trailing" spacing shows it.
std::vector<double> arange(double start, double stop, double step);

/// np.round: halves go to the even neighbour.
double round(double x);

/// np.interp(x, np.arange(len(values)), values): clamped at both ends. `values` is not empty.
double interp(double x, std::span<const float> values);

/// np.log of float32, which is not the C library's: about one value in fourteen differs in its last bit. Timesteps of
/// Karras schedules are interpolated between such logarithms and then rounded to integers, so the bit can show.
float log(float x);

}  // namespace easel::numpy
