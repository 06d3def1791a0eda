// How long calls take that enqueue work on a device: told by the device, with all of them enqueued before it is waited
// for, so that neither waiting for it nor being waited for is part of a time.
#pragma once

#include <functional>
#include <vector>

#include "convoy/backend.hpp"

namespace convoy {

// So many calls in a row that what it takes to begin and to end is little beside them. `seconds`: of one.
int calls_in_row(double seconds);
constexpr int kMostInRow = 50;

using Call = std::function<void()>;

// Seconds of a call, `count` times, each the mean of some in a row where one is short. Makes most_calls(count) calls at
// most.
std::vector<double> time_calls(Backend& backend, int count, const Call& call);
int most_calls(int count);

// The median seconds of each call, recorded as the calls of a step are: what a device does not spend there on being
// told what to do is not in the times either.
std::vector<double> time_recorded(Backend& backend, int count, const std::vector<Call>& calls);

}  // namespace convoy
