"""Updates many donated tensors in one loop of C++, like the multi-tensor kernels of torch.optim.

Inductor takes half a second for each leaf that Adam updates, more than a minute for ResNet-50, although the leaves
differ only in size. An update of a parameter and its moving averages is therefore cut out of the graph, if it
overwrites donated leaves, is element-wise, and is not used elsewhere (`partition`). It is written as C++ for leaves of
any size (`codegen`) and run for all leaves at once after the rest of the graph (`launch`).
"""
