// Package protocol is what the Pusher Channels protocol fixes: names of channels and what they say, messages, close codes and signatures.
// It knows neither apps nor connections.
//
// [KindOf] and [ChannelOf] read names, [ParseQuery] and [Parameters.VerifyRequest] the signed requests of backends, [Read] and
// [ParseSignIn] what clients send; [AppendEvent], [Succeeded] and their neighbours make what clients are sent, [Refused] and [Translate]
// how they are turned away.
//
// It refuses names that are no channels, queries of more than 64 parameters or with one twice, and requests whose signature, clock or
// body does not fit. A [Signer] may be used concurrently; all else is functions of what they are given. The package has no goroutines,
// no locks and no queues.
package protocol
