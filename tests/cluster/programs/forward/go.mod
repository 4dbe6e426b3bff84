module holdfast.dev/lab/forward

go 1.24.0
