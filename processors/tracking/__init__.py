"""From plate boxes to vehicle passes: a tracker over the boxes of cameras, without clock, randomness or state.

A vehicle begins where three boxes of different pictures lie on one line at one speed, with sizes that agree. It is
followed as something that moves evenly in the street: a plate that grows also gains speed in the picture. Out of sight
for about a second it is lost, unless three boxes fit its way on; one that rests may be hidden for longer. Every choice
depends on the boxes of a few seconds, so tracking a window and the tail of the window before gives the same choices as
tracking the whole recording.

Each camera is tracked for itself, and many are in one array: a step takes the next picture of each (`lanes`).

Lengths are in sides unless a unit is given: a plate's side is the root of its width times its height, about a fifth of
a metre, and so much the same near and far.
"""
