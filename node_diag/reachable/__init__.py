"""What a function can reach beside its arguments: tensors, modules, containers."""
