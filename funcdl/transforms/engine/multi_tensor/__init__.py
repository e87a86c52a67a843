"""One C++ kernel that updates many donated tensors in one loop, as the multi-tensor kernels of torch.optim do.

Inductor takes half a second for each leaf that Adam updates, more than a minute for ResNet-50, though the leaves differ
in nothing but their size. So what overwrites donated leaves, is computed element by element, and is read by nothing
else, such as the update of a parameter and of its averages, is cut out of the graph (`partition`), written out as C++
for any size (`codegen`), and run for all leaves at once after the rest of the graph (`launch`).
"""
