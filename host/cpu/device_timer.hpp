// Where a call returns when its work is done, the host's clock tells.
#pragma once

#include <memory>

#include "convoy/device_timer.hpp"

namespace convoy::cpu {

std::unique_ptr<DeviceTimer> make_timer(int marks);

}  // namespace convoy::cpu
