module weir-peer-nodes

go 1.26.0
