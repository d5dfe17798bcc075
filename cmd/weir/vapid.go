package main

import (
	"fmt"

	"weir/relay/systems/notify"
)

type vapidCommand struct{}

// Help is the detailed help of the command.
func (vapidCommand) Help() string {
	return "The private key is for notify.webpush.secret, or a file that notify.webpush.file names; keep it: browsers that have subscribed accept no other. " +
		"Pages get the public one from GET /devices/vapid."
}

// Run prints a pair of keys.
func (vapidCommand) Run(p *program) error {
	keys, err := notify.NewVAPID()
	if err != nil {
		return fmt.Errorf("vapid: %w", err)
	}
	_, err = fmt.Fprintf(p.stdout, "private %s\npublic  %s\n", keys.Private, keys.Public)
	return err
}
