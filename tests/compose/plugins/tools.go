//go:build tools

// Package plugins names the programs that tests/compose/engine builds.
package plugins

import (
	_ "github.com/docker/buildx/cmd/buildx"
	_ "github.com/docker/compose/v2/cmd"
)
