// The numpy functions with which the reference computes its schedules, with numpy's rounding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace easel::numpy {

/// np.linspace(start, stop, count) in float64. One point is `start`.
std::vector<double> linspace(double start, double stop, std::int64_t count);

/// np.arange(start, stop, step) in float64. As with numpy it can have one value more than exact arithmetic would give,
/// because the length comes from a rounded division; this happens with the reference's "trailing" spacing.
std::vector<double> arange(double start, double stop, double step);

/// np.round: halves go to the even neighbour.
double round(double x);

/// np.interp(x, np.arange(len(values)), values): clamped at both ends. `values` is not empty.
double interp(double x, std::span<const float> values);

/// np.log of float32. About one value in fourteen differs in its last bit from the C library's. Timesteps of Karras
/// schedules are interpolated between such logarithms and then rounded to integers, so the bit can change a timestep.
float log(float x);

}  // namespace easel::numpy
