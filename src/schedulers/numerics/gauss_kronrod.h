// Numerical integration as in QUADPACK, which scipy.integrate.quad calls.
#pragma once

namespace easel {

/// The integral of f from a to b by Kronrod's rule of 21 points (Piessens et al., QUADPACK, 1983, routine QK21), exact
/// for polynomials up to degree 31. Points are visited and added up in QUADPACK's order, so that rounding agrees with
/// it.
/// @param f  double to double
template <class Function>
double gauss_kronrod_21(const Function& f, double a, double b) {
  // The positive points, outermost first, and their weights; every second point is also one of Gauss's rule.
  constexpr double kPoints[10] = {0.995657163025808080735527280689003, 0.973906528517171720077964012084452,
                                  0.930157491355708226001207180059508, 0.865063366688984510732096688423493,
                                  0.780817726586416897063717578345042, 0.679409568299024406234327365114874,
                                  0.562757134668604683339000099272694, 0.433395394129247190799265943165784,
                                  0.294392862701460198131126603103866, 0.148874338981631210884826001129720};
  constexpr double kWeights[10] = {0.011694638867371874278064396062192, 0.032558162307964727478818972459390,
                                   0.054755896574351996031381300244580, 0.075039674810919952767043140916190,
                                   0.093125454583697605535065465083366, 0.109387158802297641899210590325805,
                                   0.123491976262065851077958109585166, 0.134709217311473325928054001771707,
                                   0.142775938577060080797094273138717, 0.147739104901338491374841515972068};
  constexpr double kCentreWeight = 0.149445554002916905664936468389821;
  const double centre = 0.5 * (a + b), half_length = 0.5 * (b - a);
  double sum = kCentreWeight * f(centre);
  for (const int first : {1, 0}) {
    for (int i = first; i < 10; i += 2) {
      const double distance = half_length * kPoints[i];
      const double below = f(centre - distance), above = f(centre + distance);
      sum += kWeights[i] * (below + above);
    }
  }
  return sum * half_length;
}

}  // namespace easel
