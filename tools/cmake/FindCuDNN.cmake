# Finds cuDNN as the target Convoy::cudnn; see find_versioned.cmake.
include(find_versioned)
convoy_find_versioned(CuDNN Convoy::cudnn cudnn.h cudnn_version.h "CUDNN_(MAJOR|MINOR|PATCHLEVEL)" cudnn libcudnn.so.9)
