Feature: Importing
  The shop takes in deliveries from files, as its suppliers send them.

  Background:
    Given the shop has 9 fountain pens at 12.50 EUR each
    And the shop has 4 bottles of ink at 3.00 EUR each

  Rule: Everything in a file is done, or nothing

    Scenario: A delivery
      When the shop imports the delivery D-17 of 5 fountain pens and 6 bottles of ink
      Then 14 fountain pens are left
      And 10 bottles of ink are left

    Scenario: A delivery with something that the shop does not sell
      When the shop imports the delivery D-17 of 5 fountain pens and 6 unicorns
      Then row 2 of the file is told to be bad: unknown product
      And 9 fountain pens are left

    Scenario: The rest of it is wanted
      When the shop imports what is right of the delivery D-17 of 5 fountain pens and 6 unicorns
      Then row 2 of the file is told to be bad: unknown product
      And 14 fountain pens are left

    Scenario: A trial
      When the shop tries the delivery D-17 of 5 fountain pens and 6 bottles of ink
      Then 9 fountain pens are left

  Rule: A delivery is taken in once

    Scenario: The file is sent twice
      When the shop imports the delivery D-17 of 5 fountain pens and 6 bottles of ink
      And the shop imports the delivery D-17 of 5 fountain pens and 6 bottles of ink
      Then 14 fountain pens are left

    Scenario: Another delivery
      When the shop imports the delivery D-17 of 5 fountain pens and 6 bottles of ink
      And the shop imports the delivery D-18 of 5 fountain pens and 6 bottles of ink
      Then 19 fountain pens are left

  Rule: Orders of another system come along, and nobody is charged by that

    Scenario: An order that waits to be paid for
      When the shop imports an order of 2 fountain pens from its old system, PENDING
      Then her order awaits payment
      And her card has not been charged
      And 9 fountain pens are left

    Scenario: The file is sent once more when she has paid
      When the shop imports an order of 2 fountain pens from its old system, PENDING
      And she pays
      And the shop imports an order of 2 fountain pens from its old system, PENDING
      Then it is one order
      And her card has been charged 25.00 EUR
      And 7 fountain pens are left

    Scenario: An order that was paid for elsewhere
      When the shop imports an order of 2 fountain pens from its old system, PAID
      Then row 1 of the file is told to be bad: not one of
