"""Recipe finder for medical-image transfer learning under domain shift: files here steer, folders work."""
