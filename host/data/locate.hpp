// Where data are looked for when the command line does not say.
#pragma once

#include <optional>
#include <string>

namespace convoy {

// $CONVOY_DATA where it is set (whatever lies there), else ./data where that holds a data set, else nothing: never
// synthetic data, which somebody must ask for.
std::optional<std::string> find_data();

// For the message of a command that found none.
inline constexpr const char* kNoData =
    "no data: give --data PATH or set CONVOY_DATA; tools/fetch_cifar10 downloads CIFAR-10 into ./data; "
    "--data synthetic makes images up";

}  // namespace convoy
