module weir-peers-compare

go 1.26.0
