package pool

func readerProcess() bool { return false }
